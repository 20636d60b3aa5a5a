//! The shards' servers of a local cluster: made from one template, started together, each
//! watched over until the end. More can be started, and single ones stopped, while the others run.

use super::{
    folder::{Folder, FolderState, LocalShard},
    plan,
};
use crate::{
    exit::{Failure, Reason},
    local::{
        Account, Programs, ServerSettings, ServerState, Spawner, Supervisor, Template, leftover,
        settings::ServerTuning,
    },
    operations::OperationError,
    ports::{self, WantedPort},
};
use shardline_base::{Policy, Shutdown, Tasks};
use shardline_model::catalog::ServerAddress;
use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};
use tokio::sync::{Mutex, watch};

/// Longer than a supervisor takes to stop or kill its server.
const STOP_LIMIT: Duration = Duration::from_secs(25);
/// The most shards that one machine runs.
const LOCAL_SHARDS_MAX: usize = 64;

/// The running servers.
pub struct Servers {
    tasks: Tasks,
    /// What the servers are started with.
    programs: Programs,
    account: Account,
    tuning: ServerTuning,
    spawner: Spawner,
    sockets: PathBuf,
    running: BTreeMap<String, Running>,
}

/// One of them.
struct Running {
    state: watch::Receiver<ServerState>,
    stop: Shutdown,
}

/// Ends servers that an earlier run left on the folder's data, so that their ports and
/// files are free.
pub async fn end_leftovers(folder: &Folder, state: &FolderState) -> Result<(), Failure> {
    for shard in &state.shards {
        for pid in leftover::end_all(&folder.shard_data(&shard.name)).await? {
            tracing::warn!(shard = %shard.name, pid, "ended a server left by an earlier run");
        }
    }
    Ok(())
}

impl Servers {
    /// Makes data folders that are missing and starts all servers.
    pub async fn start(
        folder: &Folder,
        state: &FolderState,
        programs: &Programs,
        account: &Account,
        tuning: &ServerTuning,
    ) -> Result<Self, Failure> {
        prepare_folders(folder, &state.shards, programs, account).await?;
        let helper = std::env::current_exe()
            .map_err(|error| Failure::new(Reason::Failed, format!("who am I: {error}")))?;
        let spawner =
            Spawner::start(helper).map_err(|error| Failure::new(Reason::Failed, error))?;
        let mut servers = Self {
            tasks: Tasks::new("servers", &Shutdown::new()),
            programs: programs.clone(),
            account: account.clone(),
            tuning: tuning.clone(),
            spawner,
            sockets: folder.socket_folder(state)?,
            running: BTreeMap::new(),
        };
        for (place, shard) in (1..).zip(&state.shards) {
            let number = if shard.server_id == 0 { place } else { shard.server_id };
            servers.start_one(folder, shard, number);
        }
        Ok(servers)
    }

    /// Starts one server; its data folder is there.
    fn start_one(&mut self, folder: &Folder, shard: &LocalShard, number: u32) {
        let supervisor = Supervisor {
            name: shard.name.clone(),
            settings: ServerSettings {
                data_dir: folder.shard_data(&shard.name),
                socket: self.socket(&shard.name),
                port: shard.port,
                error_log: folder.path("shards").join(&shard.name).join("error.log"),
                server_id: number,
                tuning: self.tuning.clone(),
            },
            programs: self.programs.clone(),
            account: self.account.clone(),
            spawner: self.spawner.clone(),
        };
        let (sender, receiver) = watch::channel(ServerState::Starting);
        let stop = self.tasks.shutdown().child();
        self.running.insert(shard.name.clone(), Running { state: receiver, stop: stop.clone() });
        self.tasks.spawn(format!("server {}", shard.name), Policy::Isolated, async move {
            if let Err(error) = supervisor.run(stop, sender.clone()).await {
                let reason = crate::exit::chain(&error);
                sender.send_replace(ServerState::Down { reason });
            }
        });
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.sockets.join(format!("{name}.sock"))
    }

    /// Waits until every server answers, or one has failed to start.
    pub async fn ready(&mut self) -> Result<(), Failure> {
        for (name, running) in &mut self.running {
            let decided = running.state.wait_for(|state| *state != ServerState::Starting).await;
            match decided.map(|state| state.clone()) {
                Ok(ServerState::Running { .. }) => {}
                Ok(ServerState::Down { reason }) => {
                    return Err(Failure::new(Reason::Failed, reason));
                }
                _ => {
                    return Err(Failure::new(Reason::Failed, format!("server {name} was stopped")));
                }
            }
        }
        Ok(())
    }

    /// Stops all servers in order and waits.
    pub async fn stop(&self) {
        self.tasks.stop_within(STOP_LIMIT).await;
    }

    /// Stops one server and waits.
    async fn stop_one(&mut self, name: &str) {
        let Some(mut running) = self.running.remove(name) else { return };
        running.stop.trigger();
        let stopped = running.state.wait_for(|state| *state == ServerState::Stopped);
        if tokio::time::timeout(STOP_LIMIT, stopped).await.is_err() {
            tracing::error!(server = name, "a server does not stop");
        }
    }
}

/// The servers together with the folder that remembers them: shards that come and go.
pub struct LocalShards {
    folder: Folder,
    servers: Mutex<Servers>,
}

impl LocalShards {
    /// The running servers of a folder.
    pub fn new(folder: Folder, servers: Servers) -> Self {
        Self { folder, servers: Mutex::new(servers) }
    }

    /// Waits until every server answers, or one has failed to start.
    ///
    /// # Errors
    /// Which one, and why.
    pub async fn ready(&self) -> Result<(), Failure> {
        self.servers.lock().await.ready().await
    }

    /// Stops all servers in order and waits.
    pub async fn stop(&self) {
        self.servers.lock().await.stop().await;
    }

    /// Starts the server of a new shard, unless it runs; the folder remembers it from before.
    ///
    /// # Errors
    /// The name is no good, there is no free port, or the server does not start.
    pub async fn add(&self, name: &str) -> Result<ServerAddress, OperationError> {
        let good = |one: char| one.is_ascii_alphanumeric() || one == '-' || one == '_';
        if name.is_empty() || name.len() > 32 || !name.chars().all(good) {
            return Err(OperationError::usage(
                "the name of a local shard has 1 to 32 letters, digits, - or _",
            ));
        }
        let mut servers = self.servers.lock().await;
        let mut state = self.state()?;
        let known = state.shards.iter().position(|shard| shard.name == name);
        if let Some(known) = known.filter(|_| servers.running.contains_key(name)) {
            return Ok(self.address(&servers, &state.shards[known]));
        }
        // Until the server has its port.
        let _turn = ports::choosing_turn().await;
        let at = match known {
            Some(known) => known,
            None => Self::new_shard(&mut state, name)?,
        };
        if state.shards[at].unsown {
            // Nobody knows its port yet, so any will do.
            let others = state.shards.iter().filter(|shard| shard.name != name);
            let taken: Vec<u16> = others.map(|shard| shard.port).collect();
            let wanted = WantedPort { port: state.shards[at].port, pinned: false };
            state.shards[at].port = ports::choose(wanted, &taken)
                .map_err(|error| OperationError::failed("port", error.to_string()))?;
            self.folder.save(&state).map_err(failed)?;
        }
        let shard = state.shards[at].clone();
        let (programs, account) = (servers.programs.clone(), servers.account.clone());
        prepare_folders(&self.folder, std::slice::from_ref(&shard), &programs, &account)
            .await
            .map_err(failed)?;
        servers.start_one(&self.folder, &shard, shard.server_id);
        if let Err(failure) = servers.ready().await {
            servers.stop_one(name).await;
            return Err(failed(failure));
        }
        Ok(self.address(&servers, &shard))
    }

    /// Notes a shard that is not there yet; its place.
    fn new_shard(state: &mut FolderState, name: &str) -> Result<usize, OperationError> {
        if state.shards.len() >= LOCAL_SHARDS_MAX {
            let message = format!("this machine runs {LOCAL_SHARDS_MAX} shards at most");
            return Err(OperationError::precondition("limit", message));
        }
        let numbers = (1..).zip(&state.shards).map(|(place, shard)| place.max(shard.server_id));
        let server_id = numbers.max().unwrap_or(0) + 1;
        let port = plan::SHARD_PORT;
        state.shards.push(LocalShard { name: name.to_owned(), port, server_id, unsown: true });
        Ok(state.shards.len() - 1)
    }

    /// The shard serves: the cluster has it from now on.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub async fn joined(&self, name: &str) -> Result<(), OperationError> {
        self.set_sown(name, true).await?;
        let Some(mut run) = self.folder.run_state().map_err(failed)? else { return Ok(()) };
        if !run.shards.iter().any(|shard| shard == name) {
            run.shards.push(name.to_owned());
            self.folder.publish(&run).map_err(failed)?;
        }
        Ok(())
    }

    /// Whether the next start is to see that the catalog has the shard.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub async fn set_sown(&self, name: &str, sown: bool) -> Result<(), OperationError> {
        let _alone = self.servers.lock().await;
        let mut state = self.state()?;
        for shard in state.shards.iter_mut().filter(|shard| shard.name == name) {
            shard.unsown = !sown;
        }
        self.folder.save(&state).map_err(failed)
    }

    /// Stops the server of a shard that is gone and removes what it leaves; nothing when it is not here.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub async fn remove(&self, name: &str) -> Result<(), OperationError> {
        let mut servers = self.servers.lock().await;
        let mut state = self.state()?;
        if !state.shards.iter().any(|shard| shard.name == name) {
            return Ok(());
        }
        servers.stop_one(name).await;
        state.shards.retain(|shard| shard.name != name);
        self.folder.save(&state).map_err(failed)?;
        if let Some(mut run) = self.folder.run_state().map_err(failed)? {
            run.shards.retain(|shard| shard != name);
            self.folder.publish(&run).map_err(failed)?;
        }
        let left = self.folder.path("shards").join(name);
        fs::remove_dir_all(&left).map_err(|error| {
            let place = left.display();
            OperationError::failed(
                "folder",
                format!("{name} is removed, and {place} is not: {error}"),
            )
        })
    }

    fn state(&self) -> Result<FolderState, OperationError> {
        let state = self.folder.state().map_err(failed)?;
        state.ok_or_else(|| OperationError::failed("folder", "the cluster's folder is gone"))
    }

    fn address(&self, servers: &Servers, shard: &LocalShard) -> ServerAddress {
        ServerAddress {
            host: "127.0.0.1".to_owned(),
            port: shard.port,
            socket: Some(servers.socket(&shard.name).display().to_string()),
        }
    }
}

fn failed(failure: Failure) -> OperationError {
    let error = OperationError::failed("local", failure.message);
    match failure.hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

async fn prepare_folders(
    folder: &Folder,
    shards: &[LocalShard],
    programs: &Programs,
    account: &Account,
) -> Result<(), Failure> {
    let data: Vec<_> = shards.iter().map(|shard| folder.shard_data(&shard.name)).collect();
    let (programs, account) = (programs.clone(), account.clone());
    let template = folder.path("template");
    let work = tokio::task::spawn_blocking(move || -> Result<(), Failure> {
        let template = Template::prepare(&programs, &template, &account)?;
        std::thread::scope(|scope| {
            let copies: Vec<_> = data
                .iter()
                .map(|target| {
                    scope.spawn(|| {
                        if let Some(parent) = target.parent() {
                            fs::create_dir_all(parent)
                                .map_err(crate::local::LocalError::file("create", parent))?;
                        }
                        template.copy_to(target)
                    })
                })
                .collect();
            for copy in copies {
                match copy.join() {
                    Ok(copied) => copied?,
                    Err(_) => return Err(Failure::new(Reason::Failed, "copying panicked")),
                }
            }
            Ok(())
        })
    });
    work.await.map_err(|error| Failure::new(Reason::Failed, error))?
}
