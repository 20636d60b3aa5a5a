//! How a command ends: the exit codes and the one line that says why.
//!
//! The last line on standard error and the exit code always agree.

use crate::{config::ConfigError, local::LocalError, ports::PortError};
use std::{fmt, process::ExitCode};

/// Why a command did not succeed. The numbers are the process' exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The work was tried and failed.
    Failed,
    /// What was looked at has findings.
    Findings,
    /// The command line or a configuration file is wrong.
    Usage,
    /// Something needed is missing or cannot be reached: a program, a server, a login.
    Unavailable,
    /// The state of things forbids it: a folder of someone else's, another cluster is running.
    Precondition,
    /// A bounded wait ended.
    TimedOut,
    /// The person went away; the work goes on.
    Detached,
}

impl Reason {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Findings => 2,
            Self::Usage => 3,
            Self::Unavailable => 4,
            Self::Precondition => 5,
            Self::TimedOut => 6,
            Self::Detached => 130,
        }
    }
}

/// A command's failure: what happened, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    /// Decides the exit code.
    pub reason: Reason,
    /// What happened, in one sentence.
    pub message: String,
    /// What to do, when we know.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(reason: Reason, message: impl fmt::Display) -> Self {
        Self { reason, message: message.to_string(), hint: None }
    }

    /// The same failure with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prints the failure on standard error and gives the exit code.
    pub fn report(&self) -> ExitCode {
        eprintln!("{self}");
        ExitCode::from(self.reason.code())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Reason::Failed, format!("{error:#}"))
    }
}

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Self {
        let message = chain(&error);
        match error {
            LocalError::NoServer { .. } | LocalError::NoInstaller { .. } => {
                Self::new(Reason::Unavailable, message).hint(
                    "install it: apt-get install mariadb-server-core mariadb-client \
                     (mariadb-server-core starts no service); or name it with --mariadbd",
                )
            }
            _ => Self::new(Reason::Failed, message),
        }
    }
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        Self::new(Reason::Failed, chain(&error))
            .hint("stop that process, or choose another port with --sql-port or --console-port")
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let reason = match &error {
            ConfigError::Read { .. } => Reason::Unavailable,
            ConfigError::TooLarge { .. } | ConfigError::Invalid { .. } => Reason::Usage,
        };
        Self::new(reason, chain(&error))
    }
}

/// An error with its whole chain of causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
