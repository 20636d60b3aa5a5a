//! Who calls, how they are known, and what they may do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shardline_model::access::{Role, Scope};

/// Whoever may use the cluster's folder: not a user of the catalog.
pub const LOCAL_USER: &str = "local";
/// What statements of MySQL clients are noted as.
pub const SQL_USER: &str = "sql";

/// How somebody is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// A session that began with a password.
    Password,
    /// A session that began with a link of one use.
    Link,
    /// A token of a user.
    Token,
    /// The token in the cluster's folder.
    Local,
}

impl Via {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Via::Password => "password",
            Via::Link => "link",
            Via::Token => "token",
            Via::Local => "local",
        }
    }

    /// Whether a browser sends what proves it by itself.
    pub(super) fn is_session(self) -> bool {
        match self {
            Via::Password | Via::Link => true,
            Via::Token | Via::Local => false,
        }
    }
}

/// Who calls.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The name.
    pub user: String,
    /// What they are.
    pub role: Role,
    /// What they may do.
    pub scopes: Vec<Scope>,
    /// How they are known.
    pub via: Via,
    /// What changes of a session must bring along; empty without a session.
    pub csrf: String,
    /// When the session or the token ends.
    pub expires_unix_s: Option<u64>,
}

impl Identity {
    /// Somebody of a role.
    pub fn new(user: &str, role: Role, via: Via) -> Self {
        let scopes = role.scopes().to_vec();
        let user = user.to_owned();
        Self { user, role, scopes, via, csrf: String::new(), expires_unix_s: None }
    }

    /// Whether one of these is allowed.
    pub fn has_any(&self, scopes: &[Scope]) -> bool {
        scopes.iter().any(|scope| self.scopes.contains(scope))
    }
}

/// A session, as it is told to whoever has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionInfo {
    /// Who.
    pub user: String,
    /// What they are.
    pub role: String,
    /// What they may do.
    pub scopes: Vec<String>,
    /// For the header `X-CSRF-Token` of requests that change something.
    pub csrf: String,
    /// When it ends, in seconds since 1970.
    pub expires_unix_s: Option<u64>,
    /// How they are known.
    pub via: Via,
}

impl From<&Identity> for SessionInfo {
    fn from(identity: &Identity) -> Self {
        Self {
            user: identity.user.clone(),
            role: identity.role.name().to_owned(),
            scopes: identity.scopes.iter().map(|scope| scope.name().to_owned()).collect(),
            csrf: identity.csrf.clone(),
            expires_unix_s: identity.expires_unix_s,
            via: identity.via,
        }
    }
}
