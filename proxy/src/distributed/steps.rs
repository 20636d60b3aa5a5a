//! The steps of setting up one shard, over one control connection: tables, the incarnation's
//! account, its registration. What decides when is in [`super::setup`].

use super::{
    account::{self, Account, account_name, grant_for, missing_privileges, string},
    control::{ControlConnection, ControlError},
    setup::{Mine, SetupError},
};
use crate::{
    backend::TextResult,
    txn::{
        sql::{self, SCHEMA_VERSION, SETUP},
        xid::Incarnation,
    },
};

/// Accounts of incarnations on one server at most, and hosts of one.
pub(super) const ACCOUNTS_MAX: usize = 10_000;

/// The servers' numbers for a database and a table that are not there.
const UNKNOWN_DATABASE: u16 = 1049;
const NO_SUCH_TABLE: u16 = 1146;
/// CREATE USER of an account that is there.
const CANNOT_USER: u16 = 1396;
const SYNTAX: u16 = 1064;
/// A binlog of statements at an isolation level that takes rows.
const NEEDS_ROWS: u16 = 1665;
/// Lock waits, deadlocks, and servers that are full or going down: no matter of privileges.
const PASSING: [u16; 6] = [1205, 1213, 1040, 1053, 1317, 1927];

/// Why a step was not done.
pub(super) enum StepError {
    /// The server refuses it to the configured account.
    Refused(String),
    /// Nothing can be said or done now.
    Ended(SetupError),
}

/// Setting up one shard, over one connection.
pub(super) struct Steps<'a> {
    pub(super) connection: &'a mut ControlConnection,
    pub(super) mine: &'a Mine,
}

impl Steps<'_> {
    /// Everything, in order; what keeps the shard from transactions nevertheless.
    pub(super) async fn run(mut self) -> Result<Option<String>, StepError> {
        let version = make_tables(self.connection).await;
        let version =
            version.map_err(|error| self.refusal("make its tables in _shardline", error))?;
        let missing = self.make_account().await?;
        self.register().await?;
        if version > SCHEMA_VERSION {
            return Ok(Some(format!(
                "its tables in _shardline are of version {version}, made by a newer Shardline, and \
                 this proxy knows version {SCHEMA_VERSION}: upgrade this proxy"
            )));
        }
        if missing.is_empty() {
            return Ok(None);
        }
        Ok(Some(format!(
            "the configured account lacks {} there, without which a proxy that has died cannot be \
             fenced and its transactions not undone: grant it",
            missing.join(", ")
        )))
    }

    /// The account, with the privileges of the configured one; which of those that fencing takes
    /// are missing there.
    async fn make_account(&mut self) -> Result<Vec<&'static str>, StepError> {
        let incarnation = self.mine.incarnation;
        let what = format!("make the account {}", account_name(incarnation));
        let current = self.ask("SELECT CURRENT_USER()", &what).await?;
        let current = first(current).as_deref().and_then(Account::parse);
        let current = current.ok_or_else(|| {
            StepError::Refused("the server does not say who the configured account is".into())
        })?;
        let login = self.ask("SHOW CREATE USER CURRENT_USER()", &what).await?;
        let login = account::Login::parse(&first(login).unwrap_or_default());
        let grants = self.own_grants(&what).await?;
        let account = Account::of(incarnation, &current.host);
        let create = login.sql("CREATE", &account, &self.mine.password);
        match self.connection.query(&create).await {
            Ok(_) => {}
            Err(error) if error.number() == Some(CANNOT_USER) => {
                let alter = login.sql("ALTER", &account, &self.mine.password);
                self.ask(&alter, &what).await?;
            }
            Err(error) => return Err(self.refusal(&what, error)),
        }
        let given = grants.iter().filter_map(|grant| grant_for(grant, &current, &account));
        for sql in given.chain(login.default_roles(&account)) {
            if let Err(error) = self.ask(&sql, &format!("{what} with its privileges")).await {
                // Sessions must not log in with less than they had. A failure here is no
                // matter: what is left may do nothing that the configured account may not.
                let _ = self.connection.query(&format!("DROP USER {}", account.quoted())).await;
                return Err(error);
            }
        }
        let found = accounts(self.connection, incarnation).await;
        found.map_err(|error| self.refusal("read mysql.user, to find accounts", error))?;
        Ok(missing_privileges(&grants, &current))
    }

    /// What is granted to the configured account itself. MySQL adds what its active roles may
    /// do, so none is active meanwhile.
    async fn own_grants(&mut self, what: &str) -> Result<Vec<String>, StepError> {
        let roles = first(self.ask("SELECT CURRENT_ROLE()", what).await?);
        // MySQL says NONE, or quoted names with hosts; MariaDB NULL, or one name unquoted.
        let roles = roles.filter(|roles| roles.contains('@'));
        if roles.is_some() {
            self.ask("SET ROLE NONE", what).await?;
        }
        let grants = self.ask("SHOW GRANTS FOR CURRENT_USER()", what).await?;
        if let Some(roles) = roles {
            self.ask(&format!("SET ROLE {roles}"), what).await?;
        }
        Ok(texts(grants).into_iter().flatten().flatten().collect())
    }

    /// The row by which fencing and deciding know of the incarnation. It is read after the account
    /// was made; see the file's head.
    async fn register(&mut self) -> Result<(), StepError> {
        let incarnation = self.mine.incarnation;
        let what = "register an incarnation";
        self.ask(&sql::register(incarnation), what).await?;
        let read = format!("SELECT dead FROM _shardline.incarnation WHERE id = {}", incarnation.0);
        match first(self.ask(&read, what).await?).as_deref() {
            Some("0") => Ok(()),
            Some(_) => {
                // Its own login fails with it, so a failure changes nothing.
                if let Ok(accounts) = accounts(self.connection, incarnation).await {
                    for account in accounts {
                        let lock = format!("ALTER USER {} ACCOUNT LOCK", account.quoted());
                        let _ = self.connection.query(&lock).await;
                    }
                }
                Err(StepError::Ended(SetupError::Fenced(incarnation)))
            }
            None => Err(StepError::Ended(SetupError::Failed("its registration is gone".into()))),
        }
    }

    async fn ask(&mut self, sql: &str, what: &str) -> Result<TextResult, StepError> {
        let asked = self.connection.query(sql).await;
        asked.map_err(|error| self.refusal(what, error))
    }

    /// What a failed step means. A server's message may repeat a part of the statement.
    fn refusal(&self, what: &str, error: ControlError) -> StepError {
        let text = error.to_string().replace(&self.mine.password, "...");
        match error.number() {
            Some(NEEDS_ROWS) => {
                StepError::Refused("its binlog_format is STATEMENT and must be ROW".into())
            }
            Some(number) if !PASSING.contains(&number) => StepError::Refused(format!(
                "the configured account cannot {what} there ({text}): it needs CREATE USER, and \
                 all its privileges WITH GRANT OPTION"
            )),
            Some(_) | None => {
                StepError::Ended(SetupError::Failed(format!("cannot {what}: {text}")))
            }
        }
    }
}

/// Makes the tables, or those of the versions that are missing; the version that is there then.
/// Each statement may be repeated, by several at once too.
pub(super) async fn make_tables(connection: &mut ControlConnection) -> Result<u32, ControlError> {
    let version = match connection.query(sql::READ_VERSION).await {
        Ok(rows) => first(rows).and_then(|text| text.parse().ok()).unwrap_or(0),
        Err(error) if matches!(error.number(), Some(UNKNOWN_DATABASE | NO_SUCH_TABLE)) => 0,
        Err(error) => return Err(error),
    };
    for statements in SETUP.iter().skip(version as usize) {
        for statement in *statements {
            connection.query(statement).await?;
        }
    }
    Ok(version.max(SCHEMA_VERSION))
}

/// The accounts of an incarnation on a server.
pub(super) async fn accounts(
    connection: &mut ControlConnection,
    incarnation: Incarnation,
) -> Result<Vec<Account>, ControlError> {
    let user = string(&account_name(incarnation));
    let sql = format!("SELECT host FROM mysql.user WHERE user = {user} LIMIT {ACCOUNTS_MAX}");
    let hosts = texts(connection.query(&sql).await?).into_iter().flatten().flatten();
    Ok(hosts.map(|host| Account::of(incarnation, &host)).collect())
}

/// The first of these statements that the server understands.
pub(super) async fn one_of(
    connection: &mut ControlConnection,
    statements: &[&str; 2],
) -> Result<Vec<Vec<Option<String>>>, ControlError> {
    let [usual, other] = statements;
    match connection.query(usual).await {
        Err(error) if error.number() == Some(SYNTAX) => Ok(texts(connection.query(other).await?)),
        answer => Ok(texts(answer?)),
    }
}

fn first(result: TextResult) -> Option<String> {
    texts(result).into_iter().next()?.into_iter().next().flatten()
}

pub(super) fn texts(result: TextResult) -> Vec<Vec<Option<String>>> {
    let text = |value: bytes::Bytes| String::from_utf8_lossy(&value).into_owned();
    let row =
        |row: Vec<Option<bytes::Bytes>>| row.into_iter().map(|value| value.map(text)).collect();
    result.rows.into_iter().map(row).collect()
}
