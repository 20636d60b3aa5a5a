//! Who sessions log in to the servers as. The pools ask before they open a connection; who
//! answers sees to it that the account is there. The proxy's own connections (control, probes,
//! KILL) always use the configured account.

use crate::{config::BackendAccount, txn::xid::Incarnation};
use parking_lot::RwLock;
use shardline_model::id::ShardId;
use std::{
    fmt::Debug,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
};

/// A login for sessions on one shard.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// Name and password.
    pub(crate) account: Arc<BackendAccount>,
    /// Whose account it is; None is the configured account, which no fencing reaches.
    pub(crate) incarnation: Option<Incarnation>,
}

/// The answer to [`Logins::login`]; an error says why there is none now.
pub(crate) type LoginAnswer<'a> = Pin<Box<dyn Future<Output = Result<Login, String>> + Send + 'a>>;

/// Gives logins.
pub(crate) trait Logins: Debug + Send + Sync {
    /// The login for new connections of sessions to a shard. Cancel-safe.
    fn login(&self, shard: ShardId) -> LoginAnswer<'_>;

    /// The server does not know this login: the next answer is to be made anew.
    fn refused(&self, shard: ShardId, login: &Login);

    /// Whether sessions may still use a connection with this login.
    fn is_current(&self, login: &Login) -> bool;
}

/// Who gives the logins of all pools. Weak: it holds the pools itself. While there is nobody,
/// sessions use the configured account.
pub(crate) type LoginsPlace = Arc<RwLock<Option<Weak<dyn Logins>>>>;
