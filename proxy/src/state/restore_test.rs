//! No session sees what another one set: sessions take turns on a few connections of a
//! simulated server, which carries out the restore commands.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A connection of a server that knows just enough of SET, COM_INIT_DB and SET NAMES.
#[derive(Clone, Debug, PartialEq)]
struct Simulated {
    database: Option<String>,
    client: String,
    results: String,
    collation: String,
    variables: BTreeMap<String, String>,
    user_variables: BTreeMap<String, String>,
    next_transaction: Option<String>,
}

impl Simulated {
    fn new() -> Self {
        Simulated {
            database: None,
            client: "utf8mb4".into(),
            results: "utf8mb4".into(),
            collation: "utf8mb4_general_ci".into(),
            variables: BTreeMap::new(),
            user_variables: BTreeMap::new(),
            next_transaction: None,
        }
    }

    fn run(&mut self, command: &RestoreCommand) {
        match command {
            RestoreCommand::InitDb(name) => {
                assert!(self.client == "utf8mb4" || name.is_ascii(), "{name} in {}", self.client);
                self.database = Some(name.to_string());
            }
            RestoreCommand::Query(text) => {
                assert!(self.client == "utf8mb4" || text.is_ascii(), "{text} in {}", self.client);
                let text = text.strip_prefix("SET ").unwrap();
                if let Some(characteristics) = text.strip_prefix("TRANSACTION ") {
                    self.next_transaction = Some(characteristics.into());
                } else if text == "NAMES utf8mb4" {
                    (self.client, self.results) = ("utf8mb4".into(), "utf8mb4".into());
                    self.collation = "utf8mb4_general_ci".into();
                } else {
                    split(text, ',').iter().for_each(|assignment| self.assign(assignment));
                }
            }
        }
    }

    fn assign(&mut self, assignment: &str) {
        if let Some((charset, collation)) =
            assignment.strip_prefix("NAMES ").and_then(|names| names.split_once(" COLLATE "))
        {
            (self.client, self.results) = (charset.into(), charset.into());
            self.collation = collation.into();
            return;
        }
        let parts = split(assignment, '=');
        let (name, value) = (parts[0].as_str(), parts[1..].join("="));
        if let Some(name) = name.strip_prefix("@@session.") {
            // Two names of one variable.
            let name = if name == "tx_isolation" { "transaction_isolation" } else { name };
            if value == "DEFAULT" {
                self.variables.remove(name);
            } else {
                self.variables.insert(name.into(), value);
            }
        } else if let Some(name) = name.strip_prefix('@') {
            let name = name[1..name.len() - 1].replace("``", "`");
            if value == "NULL" {
                self.user_variables.remove(&name);
            } else {
                self.user_variables.insert(name, value);
            }
        } else {
            match name {
                "character_set_client" => self.client = value,
                "character_set_results" => self.results = value,
                "collation_connection" => self.collation = value,
                other => panic!("{other}"),
            }
        }
    }

    /// What a session with this state must see.
    fn expected(state: &SessionState) -> Self {
        let unalias = |name: &str| match name {
            "tx_isolation" => "transaction_isolation".into(),
            other => other.to_string(),
        };
        let mut variables: BTreeMap<String, String> =
            state.variables().map(|(name, value)| (unalias(name), value.to_string())).collect();
        if state.1 == LockWaits::Short {
            let set = variables.get(LOCK_WAIT_TIMEOUT).map(String::as_str);
            let short = match set {
                None => "CAST(LEAST(3,@@global.innodb_lock_wait_timeout) AS UNSIGNED)",
                Some(less @ ("1" | "3")) => less,
                Some(_) => "3",
            };
            variables.insert(LOCK_WAIT_TIMEOUT.into(), short.into());
        }
        Simulated {
            database: state.database().map(Into::into),
            client: state.names().client().into(),
            results: state.names().results().unwrap_or("NULL").into(),
            collation: state.names().collation().into(),
            variables,
            user_variables: state
                .user_variables()
                .map(|(name, value)| (name.into(), value.to_string()))
                .collect(),
            next_transaction: state.next_transaction().map(Into::into),
        }
    }
}

/// Split at `separator` outside of backticks, apostrophes and parentheses.
fn split(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut quote, mut depth) = (vec![String::new()], None, 0);
    for character in text.chars() {
        match (quote, character) {
            (None, '`' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, _) if character == separator && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            (_, _) => {}
        }
        parts.last_mut().unwrap().push(character);
    }
    parts
}

#[derive(Clone, Debug)]
enum Change {
    Database(&'static str),
    Names(Names),
    Variable(&'static str, Option<SqlLiteral>),
    UserVariable(&'static str, SqlLiteral),
    NextTransaction(Option<&'static str>),
    LockWaits(LockWaits),
    Nothing,
}

fn literal() -> impl Strategy<Value = SqlLiteral> {
    prop_oneof![
        any::<i64>().prop_map(SqlLiteral::integer),
        any::<u64>().prop_map(SqlLiteral::unsigned),
        "[a-z=,'`é ]{0,6}"
            .prop_map(|text| SqlLiteral::text(text.as_bytes(), Some("latin1_bin")).unwrap()),
        prop::collection::vec(any::<u8>(), 0..5).prop_map(|bytes| SqlLiteral::binary(&bytes)),
        Just(SqlLiteral::null()),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let variables = [
        "sql_mode",
        "time_zone",
        "autocommit",
        "tx_isolation",
        "transaction_isolation",
        "character_set_database",
    ];
    prop_oneof![
        prop::sample::select(vec!["bank", "shop", "größe"]).prop_map(Change::Database),
        prop::sample::select(vec![
            ("utf8mb4", Some("utf8mb4"), "utf8mb4_bin"),
            ("latin1", Some("latin1"), "latin1_swedish_ci"),
            ("cp1251", None, "utf8mb4_general_ci"),
        ])
        .prop_map(|(client, results, collation)| Change::Names(
            Names::new(client, results, collation).unwrap()
        )),
        (prop::sample::select(variables.to_vec()), prop::option::of(literal()))
            .prop_map(|(name, value)| Change::Variable(name, value)),
        (prop::sample::select(vec!["a", "A", "`,b=", "naïve"]), literal())
            .prop_map(|(name, value)| Change::UserVariable(name, value)),
        prop::sample::select(vec![None, Some("READ ONLY"), Some("ISOLATION LEVEL SERIALIZABLE")])
            .prop_map(Change::NextTransaction),
        prop::sample::select(vec![None, Some(1), Some(3), Some(50)]).prop_map(|seconds| {
            Change::Variable(LOCK_WAIT_TIMEOUT, seconds.map(SqlLiteral::integer))
        }),
        prop::sample::select(vec![LockWaits::AsSet, LockWaits::Short]).prop_map(Change::LockWaits),
        Just(Change::Nothing),
    ]
}

fn make(state: &mut SessionState, change: Change) {
    match change {
        Change::Database(name) => state.set_database(Some(name)),
        Change::Names(names) => state.set_names(names),
        Change::Variable(name, Some(value)) => state.set_variable(name, value).unwrap(),
        Change::Variable(name, None) => state.set_variable_default(name),
        Change::UserVariable(name, value) => state.set_user_variable(name, value).unwrap(),
        Change::NextTransaction(characteristics) => state.set_next_transaction(characteristics),
        Change::LockWaits(waits) => state.set_lock_waits(waits),
        Change::Nothing => {}
    }
}

proptest! {
    #[test]
    fn sessions_on_shared_connections_see_their_own_state_only(
        turns in prop::collection::vec((0..5_usize, 0..2_usize, change()), 1..60),
    ) {
        let first = SessionState::new(Names::utf8mb4(), Some("bank"));
        let mut sessions = vec![first; 5];
        let fresh = SessionState::new(Names::utf8mb4(), None);
        let mut connections = vec![(fresh, Simulated::new()); 2];
        for (session, connection, change) in turns {
            let wanted = &mut sessions[session];
            make(wanted, change);
            let (applied, server) = &mut connections[connection];
            let restore = diff(applied, wanted).unwrap();
            prop_assert!(restore.commands.len() <= 4);
            restore.commands.iter().for_each(|command| server.run(command));
            prop_assert_eq!(&*server, &Simulated::expected(wanted));
            // The statement runs: what was for one transaction is used up.
            server.next_transaction = None;
            wanted.set_next_transaction(None);
            *applied = wanted.clone();
            prop_assert!(diff(applied, wanted).unwrap().is_empty());
        }
    }
}

#[test]
fn what_cannot_be_put_back_is_said() {
    let fresh = SessionState::new(Names::utf8mb4(), None);
    let mut used = fresh.clone();
    used.set_database(Some("bank"));
    assert_eq!(diff(&used, &fresh), Err(NotRestorable::Database { database: "bank".into() }));
    let mut seeded = fresh.clone();
    seeded.set_variable("rand_seed1", SqlLiteral::integer(1)).unwrap();
    assert!(!seeded.is_restorable());
    assert_eq!(diff(&seeded, &fresh), Err(NotRestorable::Variable));
    assert!(diff(&fresh, &seeded).is_ok());
    assert!(diff(&seeded, &seeded.clone()).unwrap().is_empty());
}

#[test]
fn one_difference_is_one_command() {
    let one = SessionState::new(Names::utf8mb4(), Some("bank"));
    let mut other = one.clone();
    other.set_variable("sql_mode", SqlLiteral::word("ANSI").unwrap()).unwrap();
    other.set_user_variable("X", SqlLiteral::integer(1)).unwrap();
    let query = |text: &str| RestoreCommand::Query(text.into());
    assert_eq!(
        diff(&one, &other).unwrap().commands.to_vec(),
        [query("SET @@session.sql_mode=ANSI,@`x`=1")]
    );
    assert_eq!(
        diff(&other, &one).unwrap().commands.to_vec(),
        [query("SET @@session.sql_mode=DEFAULT,@`x`=NULL")]
    );
    other = one.clone();
    other.set_database(Some("shop"));
    assert_eq!(
        diff(&one, &other).unwrap().commands.to_vec(),
        [RestoreCommand::InitDb("shop".into())]
    );
}

#[test]
fn limits_hold_and_names_are_checked() {
    let mut state = SessionState::new(Names::utf8mb4(), None);
    assert!(matches!(
        state.set_variable("a=1,b", SqlLiteral::null()),
        Err(StateError::Name { .. })
    ));
    assert!(Names::new("utf8mb4", None, "x'").is_err());
    for number in 0..USER_VARIABLES_MAX {
        state.set_user_variable(&number.to_string(), SqlLiteral::integer(1)).unwrap();
    }
    assert_eq!(
        state.set_user_variable("one more", SqlLiteral::integer(1)),
        Err(StateError::TooManyUserVariables)
    );
    state.set_user_variable("1", SqlLiteral::null()).unwrap();
    state.set_user_variable("one more", SqlLiteral::integer(1)).unwrap();
    let large = SqlLiteral::binary(&vec![0; STATE_BYTES_MAX / 2]);
    assert_eq!(state.set_user_variable("2", large), Err(StateError::TooManyBytes));
}
