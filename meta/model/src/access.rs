//! Who may do what with the cluster: users of the console, their roles, tokens for programs, and the log of
//! what was done. Not the accounts of MySQL clients: those are [`crate::catalog::User`].

use crate::id::Epoch;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Look at everything that has no scope of its own.
    Read,
    /// See texts of statements. Values in them are masked for everybody.
    Statements,
    /// Steer jobs, end sessions.
    Operate,
    /// Change shards, and where data is.
    Change,
    /// Manage users and tokens.
    Access,
    /// Read the log of changes.
    Audit,
}

impl Scope {
    /// All of them.
    pub const ALL: [Scope; 6] = [
        Scope::Read,
        Scope::Statements,
        Scope::Operate,
        Scope::Change,
        Scope::Access,
        Scope::Audit,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Statements => "statements",
            Scope::Operate => "operate",
            Scope::Change => "change",
            Scope::Access => "access",
            Scope::Audit => "audit",
        }
    }

    /// The scope of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Steers what runs.
    Operator,
    /// Changes the cluster.
    Dba,
    /// Does everything.
    Admin,
    /// Looks, also at what others did; changes nothing.
    Auditor,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 5] =
        [Role::Viewer, Role::Operator, Role::Dba, Role::Admin, Role::Auditor];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Dba => "dba",
            Role::Admin => "admin",
            Role::Auditor => "auditor",
        }
    }

    /// The role of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// What it allows.
    pub fn scopes(self) -> &'static [Scope] {
        match self {
            Role::Viewer => &[Scope::Read],
            Role::Operator => &[Scope::Read, Scope::Statements, Scope::Operate],
            Role::Dba => &[Scope::Read, Scope::Statements, Scope::Operate, Scope::Change],
            Role::Admin => &Scope::ALL,
            Role::Auditor => &[Scope::Read, Scope::Audit],
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A person that uses the console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleUser {
    /// The name.
    pub name: String,
    /// What the user is.
    pub role: Role,
    /// The password's argon2id hash in PHC form.
    pub password_hash: String,
    /// When the user was made, in seconds since 1970.
    pub created_unix_s: u64,
    /// Whether the user is kept out.
    pub disabled: bool,
    /// The epoch of the last change: sessions and tokens from before a change of password end by it.
    pub since: Epoch,
}

/// A secret that lets a program in as a user. Only the secret's hash is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// What it is called by; not secret.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Whose it is.
    pub user: String,
    /// What it allows, as far as the user's role does.
    pub scopes: Vec<Scope>,
    /// SHA-256 of the secret: it is random and long.
    pub secret_hash: [u8; 32],
    /// When it was made, in seconds since 1970.
    pub created_unix_s: u64,
    /// When it ends, in seconds since 1970.
    pub expires_unix_s: Option<u64>,
}

/// How far something that was done has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditPhase {
    /// It is about to be done: nothing is done that could not be noted.
    Asked,
    /// It was done.
    Done,
    /// It was refused, or failed.
    Refused,
}

impl AuditPhase {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            AuditPhase::Asked => "asked",
            AuditPhase::Done => "done",
            AuditPhase::Refused => "refused",
        }
    }
}

/// Something that somebody did, as it is noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditNote {
    /// When, in seconds since 1970, by the clock of the process that did it.
    pub unix_s: u64,
    /// Who.
    pub user: String,
    /// How they were known: `password`, `link`, `token`, `local`, `sql`.
    pub via: String,
    /// Where from: an address.
    pub source: String,
    /// What.
    pub operation: String,
    /// To what.
    pub target: String,
    /// Which lines belong together.
    pub request: String,
    /// How far it has come.
    pub phase: AuditPhase,
    /// How it was, as JSON.
    pub before: Option<String>,
    /// How it is now, as JSON.
    pub after: Option<String>,
    /// What was asked for, or what went wrong.
    pub detail: String,
}

/// A line of the log: the hash covers the note, its number and the line before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// Its number, from 1.
    pub seq: u64,
    /// What was noted.
    pub note: AuditNote,
    /// SHA-256, see [`crate::audit::line_hash`].
    pub hash: [u8; 32],
}

/// The newest part of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLog {
    /// Lines that had to make room.
    pub dropped: u64,
    /// The hash of the last of them; zeros when there are none.
    pub dropped_hash: [u8; 32],
    /// Lines in order of their numbers.
    pub lines: Vec<Arc<AuditLine>>,
}

/// Everything about who may do what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Access {
    /// Users by name.
    pub users: BTreeMap<String, Arc<ConsoleUser>>,
    /// Tokens by id.
    pub tokens: BTreeMap<String, Arc<ApiToken>>,
    /// What was done.
    pub audit: Arc<AuditLog>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_roles() {
        assert!(Scope::ALL.iter().all(|scope| Scope::of(scope.name()) == Some(*scope)));
        assert!(Role::ALL.iter().all(|role| Role::of(role.name()) == Some(*role)));
        let changes = [Scope::Operate, Scope::Change, Scope::Access];
        for role in [Role::Viewer, Role::Auditor] {
            assert!(!role.scopes().iter().any(|scope| changes.contains(scope)), "{role}");
        }
        assert_eq!(Role::Admin.scopes(), Scope::ALL);
    }
}
