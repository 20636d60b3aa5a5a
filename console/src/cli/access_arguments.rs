//! What can be written on the command line about users, tokens and the log of what was done.

use super::operator_arguments::{ApiArguments, ConsentArguments};
use clap::{Args, Subcommand, builder::BoolishValueParser};
use std::path::PathBuf;

/// `shardline user`.
#[derive(Clone, Debug, Subcommand)]
pub enum UserVerb {
    /// Show all users
    List(ApiArguments),
    /// Add a user
    Add(UserAddArguments),
    /// Change a user's role or password, or keep a user out
    Update(UserUpdateArguments),
    /// Remove a user, and the user's tokens
    Remove(UserRemoveArguments),
}

/// Where a password comes from.
#[derive(Args, Clone, Debug, Default)]
pub struct PasswordArguments {
    /// File with the password; - reads it from standard input
    #[arg(long, env = "SHARDLINE_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// `shardline user add`.
#[derive(Args, Clone, Debug)]
pub struct UserAddArguments {
    /// The name
    #[arg(env = "SHARDLINE_USER_NAME")]
    pub name: String,
    /// viewer, operator, dba, admin or auditor
    #[arg(long, env = "SHARDLINE_ROLE", value_name = "ROLE")]
    pub role: String,
    /// The password.
    #[command(flatten)]
    pub password: PasswordArguments,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline user update`.
#[derive(Args, Clone, Debug)]
pub struct UserUpdateArguments {
    /// The name
    #[arg(env = "SHARDLINE_USER_NAME")]
    pub name: String,
    /// Another role
    #[arg(long, env = "SHARDLINE_ROLE", value_name = "ROLE")]
    pub role: Option<String>,
    /// Another password.
    #[command(flatten)]
    pub password: PasswordArguments,
    /// Keep the user out
    #[arg(long, env = "SHARDLINE_DISABLE", value_parser = BoolishValueParser::new(), conflicts_with = "enable")]
    pub disable: bool,
    /// Let the user in again
    #[arg(long, env = "SHARDLINE_ENABLE", value_parser = BoolishValueParser::new())]
    pub enable: bool,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline user remove`.
#[derive(Args, Clone, Debug)]
pub struct UserRemoveArguments {
    /// The name
    #[arg(env = "SHARDLINE_USER_NAME")]
    pub name: String,
    /// Whether a person has agreed.
    #[command(flatten)]
    pub consent: ConsentArguments,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline role`.
#[derive(Clone, Debug, Subcommand)]
pub enum RoleVerb {
    /// Show roles, and what they allow
    List(ApiArguments),
}

/// `shardline token`.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenVerb {
    /// Show tokens
    List(ApiArguments),
    /// Make a token; its secret is shown this once
    Add(TokenAddArguments),
    /// End a token
    Revoke(TokenRevokeArguments),
}

/// `shardline token add`.
#[derive(Args, Clone, Debug)]
pub struct TokenAddArguments {
    /// What it is for
    #[arg(env = "SHARDLINE_TOKEN_NAME")]
    pub name: String,
    /// Whose it is [default: one's own]
    #[arg(long, env = "SHARDLINE_TOKEN_USER", value_name = "USER")]
    pub user: Option<String>,
    /// What it allows: read, statements, operate, change, access, audit; separated by commas
    #[arg(
        long = "scope",
        env = "SHARDLINE_SCOPE",
        value_name = "SCOPES",
        value_delimiter = ',',
        required = true
    )]
    pub scopes: Vec<String>,
    /// How many days it lasts [default: until it is revoked]
    #[arg(long, env = "SHARDLINE_DAYS", value_name = "N")]
    pub days: Option<u64>,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline token revoke`.
#[derive(Args, Clone, Debug)]
pub struct TokenRevokeArguments {
    /// Its id
    #[arg(env = "SHARDLINE_TOKEN_ID")]
    pub id: String,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline audit`.
#[derive(Clone, Debug, Subcommand)]
pub enum AuditVerb {
    /// Show what was done, the newest first
    List(AuditListArguments),
    /// Check that no line was changed, taken out or put in: of the cluster, or of a file
    Verify(AuditVerifyArguments),
}

/// `shardline audit list`.
#[derive(Args, Clone, Debug)]
pub struct AuditListArguments {
    /// How many lines
    #[arg(long, env = "SHARDLINE_LIMIT", value_name = "N", default_value = "50")]
    pub limit: u64,
    /// Only what this user did
    #[arg(long = "by", env = "SHARDLINE_AUDIT_USER", value_name = "USER")]
    pub user: Option<String>,
    /// Only this operation
    #[arg(long, env = "SHARDLINE_OPERATION", value_name = "OPERATION")]
    pub operation: Option<String>,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline audit verify`.
#[derive(Args, Clone, Debug)]
pub struct AuditVerifyArguments {
    /// What `audit list -o json` has printed; several prints of one log may follow one another
    #[arg(long, env = "SHARDLINE_FILE", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}
