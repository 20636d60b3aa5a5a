//! An incarnation's account on the servers, as SQL text. It has the privileges of the configured
//! account, so that what a client may do is what it could do before; its password is random, lives
//! in memory, and is in no log. Pure but for the random bytes.
//!
//! The account has the host of the configured account that the server matched: the same clients'
//! hosts may log in, neither more nor fewer, and no other account (anonymous ones, which MariaDB
//! puts before `%`) is in its way where none was in the way of the configured one.

use crate::txn::xid::Incarnation;
use shardline_router::lexer::{Lexer, SqlMode, TokenKind, Tokens};

/// What every such account's name begins with.
const PREFIX: &str = "shardline-";
/// Random bytes of a password; it is written as hexadecimal digits.
const PASSWORD_BYTES: usize = 24;
/// What the rules for passwords that servers may have ask for beside digits.
const PASSWORD_VARIETY: &str = "aZ_";
/// Ways to log in that the proxy knows and an account may be made with, on MySQL.
const PLUGINS: [&str; 2] = ["caching_sha2_password", "mysql_native_password"];

/// The account of an incarnation on the servers. No two incarnations share one, so locking it
/// and killing its connections ends all that an incarnation may still do.
pub fn account_name(incarnation: Incarnation) -> String {
    format!("{PREFIX}{}", incarnation.0)
}

/// A new password, or None when the system gives no random bytes.
pub(crate) fn random_password() -> Option<String> {
    let mut bytes = [0; PASSWORD_BYTES];
    rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut bytes).ok()?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(digits + PASSWORD_VARIETY)
}

/// An account as the servers name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) host: String,
}

impl Account {
    /// From `user@host`, which CURRENT_USER() tells; a host has no `@`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (user, host) = text.rsplit_once('@')?;
        Some(Account { user: user.to_owned(), host: host.to_owned() })
    }

    /// An incarnation's account on this host.
    pub(crate) fn of(incarnation: Incarnation, host: &str) -> Self {
        Account { user: account_name(incarnation), host: host.to_owned() }
    }

    /// As it stands in statements.
    pub(crate) fn quoted(&self) -> String {
        format!("{}@{}", string(&self.user), string(&self.host))
    }
}

/// A text literal; for connections whose `sql_mode` has backslashes as usual.
pub(crate) fn string(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// What SHOW CREATE USER says of the configured account that its double must have too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Login {
    /// `REQUIRE ..`, or empty.
    require: String,
    /// The plugin, where it is named (MySQL).
    plugin: Option<&'static str>,
    /// `DEFAULT ROLE ..`, or empty (MySQL).
    roles: String,
}

impl Login {
    /// From the answer of SHOW CREATE USER.
    pub(crate) fn parse(statement: &str) -> Self {
        let Ok(tokens) = Lexer::tokenize(statement.as_bytes(), SqlMode::default()) else {
            return Login::default();
        };
        let found = |words: &[&str]| (0..tokens.len()).find(|at| are(&tokens, *at, words));
        let ends = [
            "REQUIRE",
            "WITH",
            "PASSWORD",
            "ACCOUNT",
            "FAILED_LOGIN_ATTEMPTS",
            "COMMENT",
            "ATTRIBUTE",
        ];
        let clause = |start: Option<usize>| {
            let start = start?;
            let end = (start + 1..tokens.len())
                .find(|at| ends.iter().any(|word| tokens.is_keyword(*at, word)));
            let last = end.unwrap_or(tokens.len()) - 1;
            text_of(&tokens, start, last).map(str::to_owned)
        };
        let plugin = found(&["IDENTIFIED", "WITH"]).and_then(|at| {
            let text = String::from_utf8_lossy(tokens.text(at + 2)).into_owned();
            let name = text.trim_matches(['\'', '`', '"']).to_owned();
            PLUGINS.into_iter().find(|plugin| *plugin == name)
        });
        Login {
            require: clause(found(&["REQUIRE"])).unwrap_or_default(),
            plugin,
            roles: clause(found(&["DEFAULT", "ROLE"])).unwrap_or_default(),
        }
    }

    /// CREATE USER or ALTER USER. It holds the password: not for logs.
    pub(crate) fn sql(&self, verb: &str, account: &Account, password: &str) -> String {
        let plugin = self.plugin.map(|plugin| format!("WITH {plugin} ")).unwrap_or_default();
        let (account, password) = (account.quoted(), string(password));
        format!("{verb} USER {account} IDENTIFIED {plugin}BY {password} {}", self.require)
    }

    /// The roles that are active after its login, to be said when it has them.
    pub(crate) fn default_roles(&self, account: &Account) -> Option<String> {
        let given = !self.roles.is_empty();
        given.then(|| format!("SET {} TO {}", self.roles, account.quoted()))
    }
}

/// A statement of SHOW GRANTS for another account: `from` replaced by `to`, without what says
/// how to log in. None for a statement about somebody else (MariaDB lists a role's grants
/// too), and for PROXY, which no session needs.
pub(crate) fn grant_for(statement: &str, from: &Account, to: &Account) -> Option<String> {
    let tokens = Lexer::tokenize(statement.as_bytes(), SqlMode::default()).ok()?;
    let before_name = if tokens.is_keyword(0, "GRANT") {
        "TO"
    } else if tokens.is_keyword(0, "REVOKE") {
        "FROM"
    } else if are(&tokens, 0, &["SET", "DEFAULT", "ROLE"]) {
        "FOR"
    } else {
        return None;
    };
    if tokens.is_keyword(1, "PROXY") {
        return None;
    }
    let at = outside_parentheses(&tokens, before_name)?;
    let user = name_at(&tokens, at + 1)?;
    if tokens.kind(at + 2) != Some(TokenKind::UserVariable) {
        return None;
    }
    let host = String::from_utf8_lossy(&tokens.text(at + 2)[1..]).into_owned();
    if user != from.user || unquoted(&host) != from.host {
        return None;
    }
    let mut sql = format!("{} {}", text_of(&tokens, 0, at)?, to.quoted());
    for option in ["GRANT", "ADMIN"] {
        if (at + 3..tokens.len()).any(|index| are(&tokens, index, &[option, "OPTION"])) {
            sql.push_str(&format!(" WITH {option} OPTION"));
        }
    }
    Some(sql)
}

/// What the configured account cannot do, of what fencing and undoing take. Nothing is said
/// where it has roles, whose privileges are not listed.
pub(crate) fn missing_privileges(grants: &[String], account: &Account) -> Vec<&'static str> {
    let mut privileges: Vec<String> = Vec::new();
    for grant in grants {
        let Some(grant) = grant_for(grant, account, account) else { continue };
        let Some(list) = grant.strip_prefix("GRANT ") else { continue };
        match list.split_once(" ON *.* TO ") {
            Some((list, _)) => {
                privileges.extend(list.split(',').map(|one| one.trim().replace('_', " ")));
            }
            None if !list.contains(" ON ") => return Vec::new(),
            None => {}
        }
    }
    let has = |name: &str| privileges.iter().any(|one| one.eq_ignore_ascii_case(name));
    if has("ALL PRIVILEGES") || has("ALL") {
        return Vec::new();
    }
    let needed: [(&'static str, &[&str]); 3] = [
        ("PROCESS", &["PROCESS"]),
        ("CONNECTION ADMIN", &["CONNECTION ADMIN", "SUPER"]),
        ("REPLICATION SLAVE", &["REPLICATION SLAVE"]),
    ];
    let lacks = |names: &[&str]| !names.iter().any(|name| has(name));
    needed.iter().filter(|(_, names)| lacks(names)).map(|(name, _)| *name).collect()
}

fn are(tokens: &Tokens<'_>, at: usize, words: &[&str]) -> bool {
    words.iter().enumerate().all(|(index, word)| tokens.is_keyword(at + index, word))
}

fn outside_parentheses(tokens: &Tokens<'_>, keyword: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for at in 0..tokens.len() {
        match tokens.kind(at) {
            Some(TokenKind::LeftParen) => depth += 1,
            Some(TokenKind::RightParen) => depth = depth.saturating_sub(1),
            _ if depth == 0 && tokens.is_keyword(at, keyword) => return Some(at),
            _ => {}
        }
    }
    None
}

fn text_of<'a>(tokens: &Tokens<'a>, first: usize, last: usize) -> Option<&'a str> {
    let (first, last) = (tokens.get(first)?.span.range(), tokens.get(last)?.span.range());
    std::str::from_utf8(tokens.sql.get(first.start..last.end)?).ok()
}

fn name_at(tokens: &Tokens<'_>, at: usize) -> Option<String> {
    match tokens.kind(at)? {
        TokenKind::Word | TokenKind::QuotedIdentifier | TokenKind::String => {
            Some(unquoted(&String::from_utf8_lossy(tokens.text(at))))
        }
        _ => None,
    }
}

fn unquoted(text: &str) -> String {
    match text.chars().next() {
        Some(quote @ ('`' | '\'' | '"')) if text.len() >= 2 && text.ends_with(quote) => {
            let inner = &text[1..text.len() - 1];
            let inner = inner.replace(&format!("{quote}{quote}"), &quote.to_string());
            if quote == '`' { inner } else { inner.replace("\\\\", "\\") }
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured() -> Account {
        Account::parse("app@10.0.0.%").unwrap()
    }

    fn check(statement: &str, expected: Option<&str>) {
        let to = Account::of(Incarnation(7), "10.0.0.%");
        assert_eq!(grant_for(statement, &configured(), &to).as_deref(), expected, "{statement}");
    }

    #[test]
    fn passwords_differ_and_satisfy_rules() {
        let (one, other) = (random_password().unwrap(), random_password().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 2 * PASSWORD_BYTES + PASSWORD_VARIETY.len());
    }

    #[test]
    fn grants_of_both_servers_are_given_to_another() {
        check(
            "GRANT ALL PRIVILEGES ON *.* TO `app`@`10.0.0.%` IDENTIFIED BY PASSWORD \
             '*00A' REQUIRE SSL WITH GRANT OPTION MAX_USER_CONNECTIONS 9",
            Some("GRANT ALL PRIVILEGES ON *.* TO 'shardline-7'@'10.0.0.%' WITH GRANT OPTION"),
        );
        check(
            "GRANT USAGE ON *.* TO 'app'@'10.0.0.%' IDENTIFIED VIA unix_socket OR \
             mysql_native_password USING ' WITH GRANT OPTION '",
            Some("GRANT USAGE ON *.* TO 'shardline-7'@'10.0.0.%'"),
        );
        check(
            "GRANT SELECT (`to`, `x`), UPDATE ON `d``e`.`TO` TO `app`@`10.0.0.%`",
            Some("GRANT SELECT (`to`, `x`), UPDATE ON `d``e`.`TO` TO 'shardline-7'@'10.0.0.%'"),
        );
        check(
            "GRANT BACKUP_ADMIN,CLONE_ADMIN ON *.* TO `app`@`10.0.0.%` WITH GRANT OPTION",
            Some(
                "GRANT BACKUP_ADMIN,CLONE_ADMIN ON *.* TO 'shardline-7'@'10.0.0.%' WITH GRANT OPTION",
            ),
        );
        check(
            "GRANT `r`@`%` TO `app`@`10.0.0.%` WITH ADMIN OPTION",
            Some("GRANT `r`@`%` TO 'shardline-7'@'10.0.0.%' WITH ADMIN OPTION"),
        );
        check(
            "REVOKE SELECT ON `mysql`.* FROM `app`@`10.0.0.%`",
            Some("REVOKE SELECT ON `mysql`.* FROM 'shardline-7'@'10.0.0.%'"),
        );
        check(
            "SET DEFAULT ROLE `r` FOR `app`@`10.0.0.%`",
            Some("SET DEFAULT ROLE `r` FOR 'shardline-7'@'10.0.0.%'"),
        );
    }

    #[test]
    fn what_is_not_the_accounts_is_left_out() {
        check("GRANT SELECT ON *.* TO `r`", None);
        check("GRANT SELECT ON *.* TO `app`@`%`", None);
        check("GRANT PROXY ON ''@'%' TO `app`@`10.0.0.%` WITH GRANT OPTION", None);
    }

    #[test]
    fn logins_keep_what_they_require() {
        let account = Account::of(Incarnation(7), "%");
        let login = Login::parse(
            "CREATE USER `app`@`%` IDENTIFIED BY PASSWORD '*A' REQUIRE ISSUER '/C=X' SUBJECT \
             '/C=WITH' WITH MAX_USER_CONNECTIONS 4",
        );
        assert_eq!(
            login.sql("CREATE", &account, "p'w"),
            "CREATE USER 'shardline-7'@'%' IDENTIFIED BY 'p''w' REQUIRE ISSUER '/C=X' SUBJECT '/C=WITH'"
        );
        let login = Login::parse(
            "CREATE USER `app`@`%` IDENTIFIED WITH 'caching_sha2_password' AS '$A$\\' REQUIRE X' \
             DEFAULT ROLE `r`@`%`,`s`@`%` REQUIRE NONE PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK",
        );
        assert_eq!(
            login.sql("ALTER", &account, "p"),
            "ALTER USER 'shardline-7'@'%' IDENTIFIED WITH caching_sha2_password BY 'p' REQUIRE NONE"
        );
        assert_eq!(
            login.default_roles(&account).unwrap(),
            "SET DEFAULT ROLE `r`@`%`,`s`@`%` TO 'shardline-7'@'%'"
        );
    }

    #[test]
    fn missing_privileges_are_named() {
        let check = |grants: &[&str], expected: &[&str]| {
            let grants: Vec<String> = grants.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(missing_privileges(&grants, &configured()), expected, "{grants:?}");
        };
        check(&["GRANT ALL PRIVILEGES ON *.* TO `app`@`10.0.0.%`"], &[]);
        check(
            &["GRANT SELECT, PROCESS, REPLICATION SLAVE ON *.* TO `app`@`10.0.0.%`"],
            &["CONNECTION ADMIN"],
        );
        check(
            &[
                "GRANT PROCESS, REPLICATION SLAVE ON *.* TO `app`@`10.0.0.%`",
                "GRANT CONNECTION_ADMIN ON *.* TO `app`@`10.0.0.%`",
            ],
            &[],
        );
        check(
            &["GRANT ALL PRIVILEGES ON `d`.* TO `app`@`10.0.0.%`"],
            &["PROCESS", "CONNECTION ADMIN", "REPLICATION SLAVE"],
        );
        check(&["GRANT `r` TO `app`@`10.0.0.%`", "GRANT USAGE ON *.* TO `app`@`10.0.0.%`"], &[]);
    }
}
