//! `cluster.yaml`: what a cluster should be. One file declares shards, databases, tables,
//! limits and users; whatever it says that is not known is an error with its line.

pub mod clause;
pub mod environment;
pub mod file;
pub mod seed;

pub use file::{
    ClusterFile, DatabaseSpec, Limits, LocalSpec, ReadLevel, SettingsSpec, ShardsSpec, TableSpec,
    UserSpec,
};
pub use seed::Seed;

use std::path::{Path, PathBuf};

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Why a `cluster.yaml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The file is far larger than a configuration.
    #[error("{path} has {bytes} bytes; at most {FILE_BYTES_MAX} are read")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The text is not what a cluster file looks like.
    #[error("{path}:{line}:{column}: {message}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: u64,
        /// 1-based column.
        column: u64,
        /// What is wrong.
        message: String,
    },
}

/// Something wrong at a place of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// 1-based line and column.
    pub place: (u64, u64),
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Fault {
    /// A fault at a value of the file.
    pub fn at<T>(value: &serde_saphyr::Spanned<T>, message: impl Into<String>) -> Self {
        Self { place: place_of(&value.referenced), message: message.into() }
    }

    fn in_file(self, path: &Path) -> ConfigError {
        let (line, column) = self.place;
        ConfigError::Invalid { path: path.to_owned(), line, column, message: self.message }
    }
}

fn place_of(location: &serde_saphyr::Location) -> (u64, u64) {
    (location.line(), location.column())
}

/// Reads and checks a cluster file. Secrets may refer to environment variables, which
/// `variable` looks up.
pub fn load(
    path: &Path,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<ClusterFile, ConfigError> {
    let read = |source| ConfigError::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(read)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned(), bytes });
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    parse(&text, variable).map_err(|fault| fault.in_file(path))
}

/// Parses and checks the text of a cluster file.
pub fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<ClusterFile, Fault> {
    let mut file: ClusterFile = from_yaml(text).map_err(|error| {
        let error = error.without_snippet();
        Fault {
            place: error.location().map_or((1, 1), |location| place_of(&location)),
            message: message_without_place(&error.to_string()),
        }
    })?;
    file.resolve(variable)?;
    file.check()?;
    Ok(file)
}

/// YAML 1.2: `N`, `no` and `on` are texts, only `true` and `false` are booleans.
fn from_yaml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options)
}

/// The parser puts the place into its text as well; we say it once, in front.
fn message_without_place(text: &str) -> String {
    let first = text.lines().next().unwrap_or(text);
    match first.split_once(": ") {
        Some((place, rest)) if place.contains("line") && place.contains("column") => {
            rest.to_owned()
        }
        _ => first.split(" at line ").next().unwrap_or(first).to_owned(),
    }
}

#[cfg(test)]
mod tests;
