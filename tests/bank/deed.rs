//! What a client did, and what it was told.

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    /// What it was to do.
    pub(crate) kind: Kind,
    /// What the client was told.
    pub(crate) fate: Fate,
    /// In which way it was done, for people who read of a violation.
    #[expect(dead_code, reason = "shown by Debug")]
    pub(crate) way: &'static str,
}

/// What an operation does.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Money from one account to another, with a row in the journal.
    Transfer(Transfer),
    /// Money between the two pockets of one account.
    Move { account: u64 },
    /// The same on all accounts of a trio.
    Round { trio: usize },
}

/// A row of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) id: u64,
    pub(crate) source: u64,
    pub(crate) target: u64,
    pub(crate) amount: i64,
}

/// What the client was told, or what it must assume.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// It is done.
    Acknowledged,
    /// Nothing of it was done.
    Refused(String),
    /// It is whole or absent.
    Unknown(Unknown),
}

/// An operation whose end the client was not told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unknown {
    /// The error.
    pub(crate) text: String,
    /// The transaction's name, if the error says it.
    pub(crate) xid: Option<String>,
    /// What SHOW TRANSACTION STATUS said at once.
    pub(crate) status: Option<String>,
}

impl Fate {
    /// Of an error that came in answer to what was to be committed.
    pub(crate) fn of_commit(error: &mysql_async::Error) -> Self {
        let mysql_async::Error::Server(server) = error else {
            return Fate::Unknown(Unknown { text: error.to_string(), ..Unknown::default() });
        };
        // 08S01: a shard was lost during a write that commits by itself.
        if server.state != "08007" && server.state != "08S01" {
            return Fate::Refused(error.to_string());
        }
        let text = error.to_string();
        let xid = text
            .split_once("COMMIT of transaction ")
            .and_then(|(_, rest)| rest.split_once('.').map(|(xid, _)| xid.trim().to_owned()));
        Fate::Unknown(Unknown { text, xid, status: None })
    }
}
