//! The account by which proxies and controllers log in to the shards: one name, one
//! random password, kept in a file that only the owner can read.

use super::LocalError;
use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Length of a generated password in random bytes; it is written as hexadecimal digits.
const PASSWORD_BYTES: usize = 24;

/// A login for the shards' servers.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Account {
    /// The name used where nothing else is configured.
    pub const USER: &'static str = "shardline";

    /// An account with the default name and a new random password.
    pub fn generate() -> Result<Self, LocalError> {
        Ok(Self { user: Self::USER.to_owned(), password: random_hex(PASSWORD_BYTES)? })
    }

    /// Reads the password from `path`, or makes one and stores it there (mode 0600).
    pub fn load_or_create(path: &Path) -> Result<Self, LocalError> {
        match fs::read_to_string(path) {
            Ok(password) => {
                Ok(Self { user: Self::USER.to_owned(), password: password.trim().to_owned() })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let account = Self::generate()?;
                write_secret(path, &account.password)?;
                Ok(account)
            }
            Err(source) => Err(LocalError::file("read", path)(source)),
        }
    }

    /// The SQL that creates the account on a server: all rights, from this machine only.
    pub fn create_sql(&self) -> String {
        let Self { user, password } = self;
        let mut sql = String::from("FLUSH PRIVILEGES;\n");
        for host in ["localhost", "127.0.0.1", "::1"] {
            sql.push_str(&format!("CREATE USER '{user}'@'{host}' IDENTIFIED BY '{password}';\n"));
            sql.push_str(&format!("GRANT ALL ON *.* TO '{user}'@'{host}' WITH GRANT OPTION;\n"));
        }
        sql
    }
}

/// Writes a file that only its owner can read, whole or not at all.
pub fn write_secret(path: &Path, text: &str) -> Result<(), LocalError> {
    let draft = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(LocalError::file("create", &draft))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&draft, path))
        .map_err(LocalError::file("write", path))
}

/// `bytes` random bytes of the kernel as hexadecimal digits.
pub fn random_hex(bytes: usize) -> Result<String, LocalError> {
    const SOURCE: &str = "/dev/urandom";
    let mut buffer = vec![0; bytes];
    fs::File::open(SOURCE)
        .and_then(|mut file| file.read_exact(&mut buffer))
        .map_err(LocalError::file("read", SOURCE))?;
    Ok(buffer.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_password_is_kept_for_the_owner_alone() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("backend.password");
        let first = Account::load_or_create(&path).expect("created");
        assert_eq!(first.password.len(), 2 * PASSWORD_BYTES);
        assert_eq!(fs::metadata(&path).expect("file").permissions().mode() & 0o777, 0o600);
        assert_eq!(Account::load_or_create(&path).expect("read"), first);
    }

    #[test]
    fn debug_output_hides_the_password() {
        let account = Account { user: "u".into(), password: "hush".into() };
        assert!(!format!("{account:?}").contains("hush"));
    }
}
