//! One data folder made once and copied for each server: a copy takes a tenth of the
//! time of a fresh one.

use super::{Account, LocalError, Programs, program::Installer, settings::REDO_LOG_MIB};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// How many of an installer's last lines an error carries.
const OUTPUT_LINES_MAX: usize = 5;

/// A data folder with system tables and the account, that no server runs on.
#[derive(Clone, Debug)]
pub struct Template {
    path: PathBuf,
}

impl Template {
    /// Makes the template at `path`, unless it is there. An interrupted attempt leaves
    /// nothing that a later one would take for whole.
    pub fn prepare(
        programs: &Programs,
        path: &Path,
        account: &Account,
    ) -> Result<Self, LocalError> {
        if !path.is_dir() {
            let draft = path.with_extension("draft");
            remove_if_there(&draft)?;
            fs::create_dir_all(&draft).map_err(LocalError::file("create", &draft))?;
            let sql_file = path.with_extension("sql");
            super::account::write_secret(&sql_file, &account.create_sql())?;
            // A starting server removes all temporary tables that it finds, also those of
            // others: it needs a folder of its own for them.
            let temporary = path.with_extension("tmp");
            fs::create_dir_all(&temporary).map_err(LocalError::file("create", &temporary))?;
            let made = initialize(programs, &draft, &sql_file, &temporary);
            remove_if_there(&sql_file)?;
            remove_if_there(&temporary)?;
            made?;
            remove_if_there(&draft.join("auto.cnf"))?;
            fs::rename(&draft, path).map_err(LocalError::file("rename", &draft))?;
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Copies the template to `target`, unless it is there, whole or not at all.
    /// Filesystems that can share blocks between files do.
    pub fn copy_to(&self, target: &Path) -> Result<(), LocalError> {
        if target.is_dir() {
            return Ok(());
        }
        let draft = target.with_extension("draft");
        remove_if_there(&draft)?;
        copy_folder(&self.path, &draft)?;
        fs::rename(&draft, target).map_err(LocalError::file("rename", &draft))
    }
}

/// True when servers must be told `--user=root`, which they otherwise refuse to run as.
pub fn running_as_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn initialize(
    programs: &Programs,
    path: &Path,
    sql_file: &Path,
    temporary: &Path,
) -> Result<(), LocalError> {
    let mut command = match &programs.installer {
        Installer::Script(script) => {
            let mut command = Command::new(script);
            command
                .arg("--no-defaults")
                .arg(format!("--datadir={}", path.display()))
                .arg(format!("--extra-file={}", sql_file.display()))
                .arg(format!("--innodb-log-file-size={REDO_LOG_MIB}M"))
                .args(["--auth-root-authentication-method=socket", "--skip-test-db"])
                .arg("--skip-name-resolve");
            if let Some(base) = programs.base_folder() {
                command.arg(format!("--basedir={}", base.display()));
            }
            command
        }
        Installer::ServerItself => {
            let mut command = Command::new(&programs.server);
            command
                .args(["--no-defaults", "--initialize"])
                .arg(format!("--datadir={}", path.display()))
                .arg(format!("--init-file={}", sql_file.display()));
            command
        }
    };
    command.arg(format!("--tmpdir={}", temporary.display()));
    if running_as_root() {
        command.arg("--user=root");
    }
    let program = PathBuf::from(command.get_program());
    let output = command.output().map_err(|source| LocalError::Run { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    Err(LocalError::Initialize {
        path: path.to_owned(),
        output: telling_lines(&output.stdout, &output.stderr),
    })
}

/// The lines of an installer's output that say what went wrong, else its last ones.
fn telling_lines(stdout: &[u8], stderr: &[u8]) -> String {
    let text = [String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr)].join("\n");
    let errors: Vec<&str> =
        text.lines().filter(|line| line.contains("ERROR") || line.contains("FATAL")).collect();
    let lines = if errors.is_empty() { text.lines().collect() } else { errors };
    lines[lines.len().saturating_sub(OUTPUT_LINES_MAX)..].join(" | ")
}

fn copy_folder(source: &Path, target: &Path) -> Result<(), LocalError> {
    fs::create_dir_all(target).map_err(LocalError::file("create", target))?;
    for entry in fs::read_dir(source).map_err(LocalError::file("read", source))? {
        let entry = entry.map_err(LocalError::file("read", source))?;
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        let kind = entry.file_type().map_err(LocalError::file("read", &from))?;
        if kind.is_dir() {
            copy_folder(&from, &to)?;
        } else if kind.is_file() {
            fs::copy(&from, &to).map_err(LocalError::file("copy", &from))?;
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> Result<(), LocalError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LocalError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_holds_every_file_and_is_made_once() {
        let folder = tempfile::tempdir().expect("tempdir");
        let source = folder.path().join("template");
        fs::create_dir_all(source.join("mysql")).expect("folder");
        fs::write(source.join("mysql/a"), "1").expect("file");
        let template = Template { path: source };
        let target = folder.path().join("data");
        template.copy_to(&target).expect("copied");
        assert_eq!(fs::read_to_string(target.join("mysql/a")).expect("file"), "1");
        fs::write(target.join("mysql/a"), "2").expect("file");
        template.copy_to(&target).expect("left alone");
        assert_eq!(fs::read_to_string(target.join("mysql/a")).expect("file"), "2");
    }

    #[test]
    fn an_installers_errors_are_picked_from_its_output() {
        let text = b"Installing ...\nERROR: 1290 no\nhelp text\nmore help\n";
        assert_eq!(telling_lines(text, b""), "ERROR: 1290 no");
        assert_eq!(telling_lines(b"a", b"b"), "a | b");
    }
}
