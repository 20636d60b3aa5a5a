//! Finding the server program and the one that makes data folders.

use super::LocalError;
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Server programs, best first.
const SERVERS: [&str; 2] = ["mariadbd", "mysqld"];
/// Programs that make a MariaDB data folder, best first.
const INSTALLERS: [&str; 2] = ["mariadb-install-db", "mysql_install_db"];
/// Where packages and builds put them, besides PATH.
const USUAL_FOLDERS: [&str; 8] = [
    "/usr/sbin",
    "/usr/bin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/local/mysql/bin",
    "/usr/local/mariadb/bin",
    "/usr/local/mysql/scripts",
    "/usr/libexec",
];

/// How a data folder is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installer {
    /// By MariaDB's script.
    Script(PathBuf),
    /// By MySQL's server itself: `mysqld --initialize-insecure`.
    ServerItself,
}

/// The programs of one MariaDB or MySQL installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The server.
    pub server: PathBuf,
    /// What makes its data folder.
    pub installer: Installer,
    /// Its version as it prints it: `10.11.19-MariaDB-...`, `8.4.3`.
    pub version: String,
}

impl Programs {
    /// Finds the programs: `server` when given, otherwise the first in `folders`.
    pub fn find(server: Option<&Path>, folders: &[PathBuf]) -> Result<Self, LocalError> {
        let searched =
            || folders.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(":");
        let server = match server {
            Some(path) if path.is_file() => path.to_owned(),
            Some(path) => {
                return Err(LocalError::NoServer { searched: path.display().to_string() });
            }
            None => first_in(folders, &SERVERS)
                .ok_or_else(|| LocalError::NoServer { searched: searched() })?,
        };
        let version = version_of(&server)?;
        let installer = if version.contains("MariaDB") {
            let beside = server.parent().map(installation_folders).unwrap_or_default();
            first_in(&beside, &INSTALLERS)
                .or_else(|| first_in(folders, &INSTALLERS))
                .map(Installer::Script)
                .ok_or_else(|| LocalError::NoInstaller {
                    server: server.clone(),
                    searched: searched(),
                })?
        } else {
            Installer::ServerItself
        };
        Ok(Self { server, installer, version })
    }

    /// The folders that are searched by default: PATH, then the usual ones.
    pub fn default_folders() -> Vec<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = Vec::new();
        for folder in env::split_paths(&path).chain(USUAL_FOLDERS.iter().map(PathBuf::from)) {
            if !folder.as_os_str().is_empty() && !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        folders
    }

    /// True for MariaDB, false for MySQL.
    pub fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    /// The version's numbers alone: `10.11.19`.
    pub fn short_version(&self) -> &str {
        self.version.split('-').next().unwrap_or(&self.version)
    }

    /// The installation's root when it is not the system's: servers outside `/usr` must be told.
    pub fn base_folder(&self) -> Option<&Path> {
        let root = self.server.parent()?.parent()?;
        (root != Path::new("/usr") && root != Path::new("/")).then_some(root)
    }
}

fn installation_folders(program_folder: &Path) -> Vec<PathBuf> {
    let mut folders = vec![program_folder.to_owned()];
    if let Some(root) = program_folder.parent() {
        folders.extend(["bin", "scripts"].map(|name| root.join(name)));
    }
    folders
}

fn first_in(folders: &[PathBuf], names: &[&str]) -> Option<PathBuf> {
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
}

fn version_of(server: &Path) -> Result<String, LocalError> {
    let output = Command::new(server)
        .args(["--no-defaults", "--version"])
        .output()
        .map_err(|source| LocalError::Run { program: server.to_owned(), source })?;
    Ok(parse_version(&String::from_utf8_lossy(&output.stdout)))
}

/// The word after `Ver` in `mariadbd  Ver 10.11.19-MariaDB-... for debian-linux-gnu on x86_64`.
fn parse_version(line: &str) -> String {
    let mut words = line.split_whitespace();
    words.find(|word| *word == "Ver");
    words.next().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions_of_both_families() {
        let maria = "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64";
        assert_eq!(parse_version(maria), "10.11.19-MariaDB-0+deb12u1");
        let mysql = "/usr/sbin/mysqld  Ver 8.4.3 for Linux on x86_64 (MySQL Community Server)";
        assert_eq!(parse_version(mysql), "8.4.3");
        assert_eq!(parse_version(""), "unknown");
    }

    #[test]
    fn a_missing_server_says_where_it_was_looked_for() {
        let empty = tempfile::tempdir().expect("tempdir");
        let error = Programs::find(None, &[empty.path().to_owned()]).expect_err("nothing there");
        assert!(error.to_string().contains(&empty.path().display().to_string()), "{error}");
    }
}
