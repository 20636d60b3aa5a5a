//! What a run of `up` will be: how many shards, on which ports. A new cluster follows the
//! command line and `cluster.yaml`; an old one what its folder remembers.

use super::folder::{Folder, FolderState, LocalShard};
use crate::{
    config::{ClusterFile, Seed, seed},
    exit::{Failure, Reason},
    local::settings::ServerTuning,
    ports::{self, WantedPort},
};

/// First choices of ports.
const SQL_PORT: u16 = 4306;
const CONSOLE_PORT: u16 = 4380;
const META_PORT: u16 = 4390;
pub(super) const SHARD_PORT: u16 = 4311;
/// Shards of a new cluster when nobody says.
const SHARDS: u32 = 3;

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// How many shards.
    pub shards: Option<u32>,
    /// Port for MySQL clients.
    pub sql_port: Option<u16>,
    /// Port for health checks and metrics.
    pub console_port: Option<u16>,
    /// How many metadata nodes a new cluster gets.
    pub meta_nodes: u8,
}

/// Decides on shards and ports. Ports that are free now may be taken before they are bound;
/// then binding fails and says so.
pub fn decide(
    wishes: &Wishes,
    file: Option<&ClusterFile>,
    folder: &Folder,
    old: Option<FolderState>,
) -> Result<FolderState, Failure> {
    let declared = match file {
        Some(file) => file.local_shards().map_err(|fault| {
            Failure::new(Reason::Usage, format!("cluster.yaml: {}", fault.message))
        })?,
        None => None,
    };
    let count = match (wishes.shards, declared) {
        (Some(flag), Some(declared)) if flag != declared => {
            return Err(Failure::new(
                Reason::Usage,
                format!("--shards says {flag}, the cluster file says {declared}; keep one"),
            ));
        }
        (flag, declared) => flag.or(declared),
    };
    let mut state = match old {
        Some(state) => {
            refuse_other_count(count, &state)?;
            state
        }
        None => {
            if ![1, 3].contains(&wishes.meta_nodes) {
                return Err(Failure::new(Reason::Usage, "--meta-nodes must be 1 or 3"));
            }
            let name = file.map_or("shardline", |file| file.cluster.as_str());
            let mut state = folder.new_state(name);
            let numbers = 0..count.unwrap_or(SHARDS) as u16;
            state.shards = numbers
                .map(|n| LocalShard {
                    name: format!("s{}", n + 1),
                    port: SHARD_PORT + n,
                    server_id: u32::from(n) + 1,
                    unsown: false,
                })
                .collect();
            state.meta_ports = (0..u16::from(wishes.meta_nodes)).map(|n| META_PORT + n).collect();
            (state.sql_port, state.console_port) = (SQL_PORT, CONSOLE_PORT);
            state
        }
    };
    choose_ports(wishes, &mut state)?;
    Ok(state)
}

fn refuse_other_count(count: Option<u32>, state: &FolderState) -> Result<(), Failure> {
    let has = state.shards.len();
    match count {
        Some(count) if count as usize != has => Err(Failure::new(
            Reason::Precondition,
            format!("this cluster has {has} shards, not {count}"),
        )
        .hint("start it without --shards, or make another cluster with --dir")),
        _ => Ok(()),
    }
}

/// Moves every port that is taken, except those that the user named and those of metadata
/// nodes of an old cluster, which know each other by them.
fn choose_ports(wishes: &Wishes, state: &mut FolderState) -> Result<(), Failure> {
    let mut reserved = Vec::new();
    let mut choose = |wanted: WantedPort| -> Result<u16, Failure> {
        let port = ports::choose(wanted, &reserved)?;
        reserved.push(port);
        Ok(port)
    };
    state.sql_port = choose(WantedPort::new(wishes.sql_port, state.sql_port))?;
    state.console_port = choose(WantedPort::new(wishes.console_port, state.console_port))?;
    let known = state.progress.seeded;
    for port in &mut state.meta_ports {
        *port = choose(WantedPort { port: *port, pinned: known })?;
    }
    for shard in &mut state.shards {
        shard.port = choose(WantedPort { port: shard.port, pinned: false })?;
    }
    Ok(())
}

/// How the servers are to run.
pub fn tuning(file: Option<&ClusterFile>) -> ServerTuning {
    let mut tuning = ServerTuning::default();
    if let Some(local) = file.map(|file| &file.local) {
        tuning.buffer_pool_mib = local.buffer_pool_mib.unwrap_or(tuning.buffer_pool_mib);
        tuning.connections_max = local.connections_max.unwrap_or(tuning.connections_max);
        tuning.options.clone_from(&local.options);
    }
    tuning
}

/// What the catalog is to hold, besides databases and tables.
pub fn seed(
    file: Option<&ClusterFile>,
    folder: &Folder,
    state: &FolderState,
) -> Result<Seed, Failure> {
    let sockets = folder.socket_folder(state)?;
    let local = |shard: &LocalShard| seed::SeedShard {
        name: shard.name.clone(),
        primary: shardline_model::catalog::ServerAddress {
            host: "127.0.0.1".to_owned(),
            port: shard.port,
            socket: Some(sockets.join(format!("{}.sock", shard.name)).display().to_string()),
        },
        replicas: Vec::new(),
        unsown: shard.unsown,
    };
    let rules = file
        .map(|file| seed::rules(file).map_err(|message| Failure::new(Reason::Usage, message)))
        .transpose()?;
    let mut users = file.map(seed::users).unwrap_or_default();
    if users.is_empty() && !state.progress.seeded {
        // On the loopback only, as a fresh MariaDB lets its owner in.
        users.push(seed::SeedUser { name: "root".to_owned(), password: String::new() });
    }
    Ok(Seed {
        cluster: state.cluster.clone(),
        shards: state.shards.iter().map(local).collect(),
        rules,
        users,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes() -> Wishes {
        Wishes { shards: None, sql_port: None, console_port: None, meta_nodes: 1 }
    }

    fn decided(wishes: &Wishes, old: Option<FolderState>) -> Result<FolderState, Failure> {
        let parent = tempfile::tempdir().expect("tempdir");
        let folder = Folder::open_or_take(parent.path()).expect("taken");
        decide(wishes, None, &folder, old)
    }

    #[test]
    fn a_new_cluster_has_three_shards_on_ports_of_their_own() {
        let state = decided(&wishes(), None).expect("decided");
        let mut ports: Vec<u16> = state.shards.iter().map(|shard| shard.port).collect();
        ports.extend([state.sql_port, state.console_port, state.meta_ports[0]]);
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 6);
        assert_eq!(state.shards[2].name, "s3");
    }

    #[test]
    fn an_old_cluster_keeps_its_shards() {
        let old = decided(&Wishes { shards: Some(2), ..wishes() }, None).expect("decided");
        let again = decided(&wishes(), Some(old.clone())).expect("decided");
        assert_eq!(again.shards.len(), 2);
        let refused = decided(&Wishes { shards: Some(5), ..wishes() }, Some(old));
        assert_eq!(refused.expect_err("another count").reason, Reason::Precondition);
    }

    #[test]
    fn a_file_that_contradicts_a_flag_is_refused() {
        let file = crate::config::parse("apiVersion: shardline/v1\nshards: 4\n", |_| None);
        let parent = tempfile::tempdir().expect("tempdir");
        let folder = Folder::open_or_take(parent.path()).expect("taken");
        let flag = Wishes { shards: Some(2), ..wishes() };
        let refused = decide(&flag, Some(&file.expect("good")), &folder, None);
        assert_eq!(refused.expect_err("contradiction").reason, Reason::Usage);
    }
}
