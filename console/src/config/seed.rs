//! From a cluster file to the first catalog: the changes that a new cluster starts with.

use super::{ClusterFile, ShardsSpec, clause, file::ShardSpec};
use shardline_model::catalog::{ServerAddress, TableRule};

/// What a new cluster's catalog starts with.
#[derive(Clone, Debug, PartialEq)]
pub struct Seed {
    /// The cluster's name.
    pub cluster: String,
    /// Shards in order, with the addresses of primary and replicas.
    pub shards: Vec<SeedShard>,
    /// Rules that apply by table name at CREATE; None leaves those that are there.
    pub rules: Option<Vec<TableRule>>,
    /// Names and passwords of clients' accounts.
    pub users: Vec<SeedUser>,
}

/// A shard of a new cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedShard {
    /// Its name.
    pub name: String,
    /// The server that takes writes.
    pub primary: ServerAddress,
    /// Servers that replicate it.
    pub replicas: Vec<ServerAddress>,
    /// It is corrected where the catalog has it, and not added.
    pub unsown: bool,
}

/// A client's account of a new cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct SeedUser {
    /// Its name.
    pub name: String,
    /// Its password; only verifiers of it reach the catalog.
    pub password: String,
}

impl std::fmt::Debug for SeedUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeedUser").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The whole seed of a file whose shards are servers of others.
pub fn of_servers(file: &ClusterFile) -> Result<Seed, String> {
    let Some(ShardsSpec::Servers(servers)) = file.shards.as_ref().map(|shards| &shards.value)
    else {
        return Err("shards must name servers: {s1: {primary: HOST:PORT}, ...}".into());
    };
    let shard = |(name, spec): (&String, &ShardSpec)| -> Result<SeedShard, String> {
        let replicas = spec.replicas.iter().map(|address| server_address(address, None));
        Ok(SeedShard {
            name: name.clone(),
            primary: server_address(&spec.primary, spec.socket.clone())?,
            replicas: replicas.collect::<Result<_, _>>()?,
            unsown: false,
        })
    };
    Ok(Seed {
        cluster: file.cluster.clone(),
        shards: servers.iter().map(shard).collect::<Result<_, _>>()?,
        rules: Some(rules(file)?),
        users: users(file),
    })
}

/// The rules that a file declares, in the order of their names: exact names before patterns,
/// so that the first rule that matches is the most exact one.
pub fn rules(file: &ClusterFile) -> Result<Vec<TableRule>, String> {
    let mut rules = Vec::new();
    for (database, spec) in &file.databases {
        for (table, spec) in &spec.value.tables {
            let clause = clause::render(&spec.value)?;
            rules.push(TableRule { database: database.clone(), table: table.clone(), clause });
        }
    }
    let wildcards = |name: &str| name.matches('*').count();
    rules.sort_by_key(|rule| {
        let exactness = (wildcards(&rule.database), wildcards(&rule.table));
        (exactness, usize::MAX - rule.database.len() - rule.table.len())
    });
    Ok(rules)
}

/// The accounts that a file declares.
pub fn users(file: &ClusterFile) -> Vec<SeedUser> {
    file.users
        .iter()
        .map(|(name, user)| SeedUser {
            name: name.clone(),
            password: user.value.password.clone().unwrap_or_default(),
        })
        .collect()
}

/// Databases that the file names without a pattern: these can be created.
pub fn plain_databases(file: &ClusterFile) -> Vec<String> {
    file.databases.keys().filter(|name| !name.contains('*')).cloned().collect()
}

/// Parses `host:port`; IPv6 addresses are in brackets.
pub fn server_address(text: &str, socket: Option<String>) -> Result<ServerAddress, String> {
    let wrong = || format!("{text:?} is not an address; write host:port");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let port: u16 = port.parse().map_err(|_| wrong())?;
    if host.is_empty() || port == 0 {
        return Err(wrong());
    }
    Ok(ServerAddress { host: host.to_owned(), port, socket })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_rules_come_before_patterns() {
        let text = "apiVersion: shardline/v1\ndatabases:\n  '*': {tables: {'*': {broadcast: true}}}\n  \
            b: {tables: {'t*': {single: s1}, 'tab*': {single: s2}, tab1: {single: s3}}}\n";
        let file = super::super::parse(text, |_| None).expect("good");
        let rules = rules(&file).expect("rules");
        let tables: Vec<&str> = rules.iter().map(|rule| rule.table.as_str()).collect();
        assert_eq!(tables, ["tab1", "tab*", "t*", "*"]);
        assert_eq!(plain_databases(&file), ["b"]);
    }

    #[test]
    fn addresses_of_all_kinds() {
        let address = |text| server_address(text, None).map(|a| (a.host, a.port));
        assert_eq!(address("db1:3306"), Ok(("db1".into(), 3306)));
        assert_eq!(address("[::1]:3306"), Ok(("::1".into(), 3306)));
        assert!(address("db1").is_err());
        assert!(address(":1").is_err());
        assert!(address("db1:0").is_err());
    }
}
