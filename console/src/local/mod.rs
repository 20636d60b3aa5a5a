//! MariaDB and MySQL servers on this machine: finding the programs, making a data
//! folder, starting servers, watching over them and stopping them.
//!
//! Nothing here knows of shards' contents; it is also what the test harness starts
//! its servers with.

pub mod account;
pub mod program;
pub mod template;

pub mod child;
pub mod settings;

pub mod leftover;
pub mod supervisor;

pub use account::Account;
pub use child::Spawner;
pub use program::Programs;
pub use settings::ServerSettings;
pub use supervisor::{ServerState, Supervisor};
pub use template::Template;

use std::path::PathBuf;

/// Why a local server could not be made, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// No server program was found.
    #[error("no mariadbd or mysqld found (looked in {searched})")]
    NoServer {
        /// Where.
        searched: String,
    },
    /// The server program is there, but nothing that makes a data folder for it.
    #[error("{server} has no mariadb-install-db beside it (looked in {searched})")]
    NoInstaller {
        /// The server program.
        server: PathBuf,
        /// Where.
        searched: String,
    },
    /// A program could not be run.
    #[error("cannot run {program}")]
    Run {
        /// Which.
        program: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The program that makes a data folder failed.
    #[error("making the data folder {path} failed: {output}")]
    Initialize {
        /// The folder.
        path: PathBuf,
        /// The last lines it printed.
        output: String,
    },
    /// A server ended while it was starting.
    #[error("server {name} ended while starting ({status}): {log}")]
    EndedAtStart {
        /// Its name.
        name: String,
        /// Its exit status.
        status: String,
        /// The errors in its log.
        log: String,
    },
    /// A server did not become ready in time.
    #[error("server {name} did not answer within {seconds} s: {last_error}")]
    NotReady {
        /// Its name.
        name: String,
        /// How long we waited.
        seconds: u64,
        /// Why the last try failed.
        last_error: String,
    },
    /// A process of an earlier run would not end.
    #[error("process {pid}, which an earlier run left on {path}, does not end")]
    Leftover {
        /// Its process id.
        pid: u32,
        /// The data folder that it holds.
        path: PathBuf,
    },
    /// The thread that starts processes is gone.
    #[error("the thread that starts processes has ended")]
    SpawnerGone,
}

impl LocalError {
    /// A function that wraps an I/O error on `path`, for `map_err`.
    pub fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
