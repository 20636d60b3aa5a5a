//! Whole files, good and bad.

use super::*;

fn no_variables(_: &str) -> Option<String> {
    None
}

fn fault(text: &str) -> Fault {
    parse(text, no_variables).expect_err("the file is wrong")
}

#[test]
fn a_file_for_local_shards() {
    let text = "apiVersion: shardline/v1\ncluster: bank\nshards: 3\nlocal: {buffer_pool_mib: 128}\n\
        databases:\n  bank:\n    tables:\n      account: {shard_by: hash(id)}\n      'sbtest*': {shard_by: hash(id)}\n\
        users:\n  app: {password: '${PW}'}\nlimits: {shard_connections_max: 80}\n";
    let file = parse(text, |name| (name == "PW").then(|| "secret".into())).expect("good");
    assert_eq!(file.local_shards(), Ok(Some(3)));
    assert_eq!(file.users["app"].value.password.as_deref(), Some("secret"));
    assert_eq!(file.limits.shard_connections_max, Some(80));
    assert_eq!(file.databases["bank"].value.tables.len(), 2);
    assert!(!format!("{file:?}").contains("secret"));
}

#[test]
fn a_file_for_servers_of_others() {
    let text =
        "apiVersion: shardline/v1\nshards:\n  s1: {primary: 'db1:3306', replicas: ['db2:3306']}\n";
    let file = parse(text, no_variables).expect("good");
    let Some(ShardsSpec::Servers(servers)) = file.shards.as_ref().map(|shards| &shards.value)
    else {
        panic!("servers")
    };
    assert_eq!(servers["s1"].replicas, ["db2:3306"]);
    assert!(file.local_shards().expect_err("not local").message.contains("shards: 3"));
}

#[test]
fn unknown_keys_are_errors_with_their_line() {
    let fault = fault("apiVersion: shardline/v1\nshards: 3\nshard: 4\n");
    assert_eq!(fault.place.0, 3, "{fault:?}");
    assert!(fault.message.contains("shard"), "{fault:?}");
    let nested =
        "apiVersion: shardline/v1\ndatabases:\n  b:\n    tables:\n      t: {shardby: hash(id)}\n";
    let fault = self::fault(nested);
    assert_eq!(fault.place.0, 5, "{fault:?}");
    assert!(fault.message.contains("shardby"), "{fault:?}");
}

#[test]
fn wrong_values_are_errors_with_their_line() {
    let cases = [
        ("apiVersion: v2\n", 1, "must be shardline/v1"),
        ("apiVersion: shardline/v1\nshards: 0\n", 2, "1 to 1024"),
        ("apiVersion: shardline/v1\nshards: many\n", 2, "a number of local shards"),
        ("apiVersion: shardline/v1\n\nshards: {}\n", 3, "at least one shard"),
        ("apiVersion: shardline/v1\nshards: {s1: {primary: db1}}\n", 2, "host:port"),
        ("apiVersion: shardline/v1\nusers:\n  app: {password: '${NOPE}'}\n", 3, "NOPE is not set"),
        (
            "apiVersion: shardline/v1\ndatabases:\n  b:\n    tables:\n      t: {shard_by: foo(id)}\n",
            5,
            "write hash(column)",
        ),
    ];
    for (text, line, message) in cases {
        let fault = fault(text);
        assert_eq!(fault.place.0, line, "{text}: {fault:?}");
        assert!(fault.message.contains(message), "{text}: {fault:?}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Path::new("/nonexistent/cluster.yaml"), no_variables).expect_err("missing");
    assert!(error.to_string().contains("/nonexistent/cluster.yaml"), "{error}");
}
