//! The shards' servers of a local cluster: made from one template, started together, each
//! watched over until the end.

use super::folder::{Folder, FolderState};
use crate::{
    exit::{Failure, Reason},
    local::{
        Account, Programs, ServerSettings, ServerState, Spawner, Supervisor, Template, leftover,
        settings::ServerTuning,
    },
};
use shardline_base::{Policy, Shutdown, Tasks};
use std::{fs, time::Duration};
use tokio::sync::watch;

/// Longer than a supervisor takes to stop or kill its server.
const STOP_LIMIT: Duration = Duration::from_secs(25);

/// The running servers.
pub struct Servers {
    tasks: Tasks,
    states: Vec<(String, watch::Receiver<ServerState>)>,
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
        prepare_folders(folder, state, programs, account).await?;
        let helper = std::env::current_exe()
            .map_err(|error| Failure::new(Reason::Failed, format!("who am I: {error}")))?;
        let spawner =
            Spawner::start(helper).map_err(|error| Failure::new(Reason::Failed, error))?;
        let sockets = folder.socket_folder(state)?;
        let tasks = Tasks::new("servers", &Shutdown::new());
        let mut states = Vec::new();
        for (number, shard) in (1..).zip(&state.shards) {
            let supervisor = Supervisor {
                name: shard.name.clone(),
                settings: ServerSettings {
                    data_dir: folder.shard_data(&shard.name),
                    socket: sockets.join(format!("{}.sock", shard.name)),
                    port: shard.port,
                    error_log: folder.path("shards").join(&shard.name).join("error.log"),
                    server_id: number,
                    tuning: tuning.clone(),
                },
                programs: programs.clone(),
                account: account.clone(),
                spawner: spawner.clone(),
            };
            let (sender, receiver) = watch::channel(ServerState::Starting);
            states.push((shard.name.clone(), receiver));
            let stop = tasks.shutdown().clone();
            tasks.spawn(format!("server {}", shard.name), Policy::Isolated, async move {
                if let Err(error) = supervisor.run(stop, sender.clone()).await {
                    let reason = crate::exit::chain(&error);
                    sender.send_replace(ServerState::Down { reason });
                }
            });
        }
        Ok(Self { tasks, states })
    }

    /// Waits until every server answers, or one has failed to start.
    pub async fn ready(&mut self) -> Result<(), Failure> {
        for (name, state) in &mut self.states {
            let decided = state.wait_for(|state| *state != ServerState::Starting).await;
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
    pub async fn stop(self) {
        self.tasks.stop_within(STOP_LIMIT).await;
    }
}

async fn prepare_folders(
    folder: &Folder,
    state: &FolderState,
    programs: &Programs,
    account: &Account,
) -> Result<(), Failure> {
    let data: Vec<_> = state.shards.iter().map(|shard| folder.shard_data(&shard.name)).collect();
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
