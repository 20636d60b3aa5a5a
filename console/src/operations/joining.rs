//! A new shard: its server gets the definitions of all databases and tables, and the rows of broadcast
//! tables by copy and change stream; then the catalog has it as joining, so that every change reaches it;
//! and when nothing older is on its way it serves. It owns nothing yet; a plan gives it data.

use super::{OperationError, Operations, ShardView, definitions, servers::Server, unix_s};
use serde::{Deserialize, Serialize};
use shardline_model::{
    catalog::{Catalog, ServerAddress, Shard, TableKind},
    change::Change,
    id::Epoch,
    key::KeyType,
    placement::Units,
    predicate::quote_identifier,
};
use shardline_rebalancer::{
    Direction, MoveError, MoveSpec, Mover, Settings, TableSpec, preflight::Severity, spec::NAME_MAX,
};
use std::{sync::Arc, time::Duration};

/// How long writers of broadcast tables may wait while the change stream ends.
const STANDSTILL_MAX: Duration = Duration::from_millis(800);
/// Attempts at that; between two of them writers go on.
const ATTEMPTS_MAX: u32 = 60;
const ATTEMPT_PAUSE: Duration = Duration::from_secs(1);
/// How long the copy of broadcast tables may take.
const COPY_MAX: Duration = Duration::from_secs(6 * 3_600);

/// A shard that is to be added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AddRequest {
    /// Its name.
    pub name: String,
    /// Its server is started on this machine, by the process that runs the others.
    pub local: bool,
    /// Its primary, `host:port`, when it runs already.
    pub primary: Option<String>,
    /// Its replicas.
    pub replicas: Vec<String>,
}

/// What is to be kept equal on the new server until it serves.
struct Copying {
    mover: Mover,
    tables: Vec<TableSpec>,
}

impl Operations {
    /// Adds a shard. What an attempt that was broken off has done is gone on with.
    ///
    /// # Errors
    /// Why it cannot be added; it may be run again.
    pub async fn add_shard(&self, request: &AddRequest) -> Result<ShardView, OperationError> {
        let _alone = self.membership.try_lock().map_err(|_| {
            OperationError::precondition("busy", "another shard is being added or removed here")
        })?;
        let known = self.catalog().shard_named(&request.name).cloned();
        let joining = match &known {
            Some(shard) if !self.catalog().is_joining(shard.id) => {
                let message = format!("there is a shard {} already", shard.name);
                return Err(OperationError::precondition("exists", message));
            }
            known => known.is_some(),
        };
        let (primary, replicas) = self.new_server(request).await?;
        let catalog = self.catalog();
        let mut target = self.server(&request.name, &primary).await?;
        let source = catalog.shards.values().find(|shard| !catalog.is_joining(shard.id)).cloned();
        let Some(source) = source else {
            // The first one has nothing to get.
            let change = Change::AddShard { name: request.name.clone(), primary, replicas };
            self.propose(change).await?;
            return self.shard(&request.name).await;
        };
        let mut from = self.server(&source.name, &source.primary).await?;
        if !joining {
            self.refuse_known_server(&catalog, &primary)?;
            clean(&catalog, &mut target).await?;
        }
        definitions::bring(&catalog, &mut from, &mut target).await?;
        let mut copying = self.copying(&request.name, &catalog, &source, &primary)?;
        if let Some(copying) = &mut copying {
            copy(&mut copying.mover, joining).await.map_err(copy_failed)?;
        }
        let since = match joining {
            true => self.catalog().epoch,
            false => {
                let (name, primary) = (request.name.clone(), primary.clone());
                let change = Change::JoinShard { name, primary, replicas };
                self.propose(change).await?.epoch
            }
        };
        self.serve(request, since, &catalog, (&mut from, &mut target), copying).await?;
        if let Some(local) = self.local.get().filter(|_| request.local) {
            local.joined(&request.name).await?;
        }
        self.shard(&request.name).await
    }

    /// From joining to serving.
    async fn serve(
        &self,
        request: &AddRequest,
        since: Epoch,
        before: &Catalog,
        (from, target): (&mut Server, &mut Server),
        copying: Option<Copying>,
    ) -> Result<(), OperationError> {
        self.acknowledged(since).await?;
        // Every change of definitions reaches it now. What was made in between did not.
        let now = self.catalog();
        if now.databases != before.databases {
            let again = "definitions have changed while the shard was being added";
            let again = OperationError::precondition("changed_meanwhile", again)
                .hint(format!("run it again: shardline shard add {}", request.name));
            if definitions::bring(&now, from, target).await? || broadcast(&now) != broadcast(before)
            {
                return Err(again);
            }
        }
        let mut done = None;
        if let Some(Copying { mut mover, tables }) = copying {
            let verified = mover.verify().await.map_err(copy_failed)?;
            if let Some(difference) = verified.differences.first() {
                return Err(OperationError::failed(
                    "differs",
                    format!(
                        "the copy of broadcast tables differs from shard to shard: {difference}"
                    ),
                )
                .hint("see who writes there around the proxies, and run it again"));
            }
            end_stream(&mut mover, &tables, from).await?;
            done = Some(mover);
        }
        let id = now.shard_named(&request.name).map(|shard| shard.id);
        let id = id.ok_or_else(|| OperationError::not_found("shard", &request.name))?;
        let epoch = self.propose(Change::SetApart { id, apart: None }).await?.epoch;
        // Not before: an attempt that breaks off in between goes on with the stream.
        if let Some(mut mover) = done
            && let Err(error) = mover.forget().await
        {
            tracing::warn!(%error, "the state of a shard's joining is left on its server");
        }
        self.acknowledged(epoch).await
    }

    /// The server of the new shard: started here, or named.
    async fn new_server(
        &self,
        request: &AddRequest,
    ) -> Result<(ServerAddress, Vec<ServerAddress>), OperationError> {
        let replicas = request.replicas.iter();
        let replicas = replicas.map(|text| address(text)).collect::<Result<Vec<_>, _>>()?;
        match (&request.primary, request.local) {
            (Some(primary), false) => Ok((address(primary)?, replicas)),
            (None, true) => match self.local.get() {
                Some(local) => Ok((local.add(&request.name).await?, replicas)),
                None => Err(OperationError::precondition(
                    "not_local",
                    "the cluster's servers are not run by this process",
                )
                .hint("start the server yourself, and name it with --primary HOST:PORT")),
            },
            (Some(_), true) | (None, false) => Err(OperationError::usage(
                "a new shard needs either --local or --primary HOST:PORT",
            )),
        }
    }

    fn refuse_known_server(
        &self,
        catalog: &Catalog,
        primary: &ServerAddress,
    ) -> Result<(), OperationError> {
        let same = |shard: &&Arc<Shard>| {
            (&shard.primary.host, shard.primary.port) == (&primary.host, primary.port)
        };
        match catalog.shards.values().find(same) {
            Some(shard) => Err(OperationError::precondition(
                "exists",
                format!("that server is shard {}'s already", shard.name),
            )),
            None => Ok(()),
        }
    }

    /// What copies the broadcast tables; None without any.
    fn copying(
        &self,
        name: &str,
        catalog: &Catalog,
        source: &Shard,
        target: &ServerAddress,
    ) -> Result<Option<Copying>, OperationError> {
        let tables: Vec<TableSpec> = broadcast(catalog)
            .into_iter()
            .map(|(database, table)| TableSpec { database, table, key_columns: Vec::new() })
            .collect();
        if tables.is_empty() {
            return Ok(None);
        }
        let mut id = format!("join-{name}");
        id.truncate(id.floor_char_boundary(NAME_MAX));
        let spec = MoveSpec {
            id,
            owner: format!("join-{}-{}", std::process::id(), unix_s()),
            tables: tables.clone(),
            key_types: Vec::<KeyType>::new(),
            units: Units::Interval { start: None, end: None }.into(),
            source: self.endpoint(&source.primary),
            target: self.endpoint(target),
        };
        let mover = Mover::new(spec, Settings::default()).map_err(copy_failed)?;
        Ok(Some(Copying { mover, tables }))
    }
}

/// Copies, and follows from then on.
async fn copy(mover: &mut Mover, goes_on: bool) -> Result<(), MoveError> {
    let mut prepared = mover.is_prepared().await?;
    if prepared && !goes_on {
        // Of an attempt that was broken off; its copies are gone.
        mover.forget().await?;
        prepared = false;
    }
    if !prepared {
        let findings = mover.preflight().await?;
        let hinders = |severity| severity == Severity::Blocking;
        if let Some(finding) = findings.iter().find(|finding| hinders(finding.severity)) {
            let (id, reason) = ("the new shard".to_owned(), finding.to_string());
            return Err(MoveError::Step { id, step: "get the broadcast tables", reason });
        }
        mover.prepare().await?;
    }
    mover.start(Direction::Forward).await?;
    let late = |_| MoveError::TimedOut {
        what: "copying the broadcast tables",
        limit_ms: u64::try_from(COPY_MAX.as_millis()).unwrap_or(u64::MAX),
    };
    tokio::time::timeout(COPY_MAX, mover.copied()).await.map_err(late)?
}

/// Ends the change stream while nobody writes the tables on the source: whoever has written there has
/// committed, and all of that is on the new server.
async fn end_stream(
    mover: &mut Mover,
    tables: &[TableSpec],
    source: &mut Server,
) -> Result<(), OperationError> {
    let names = tables.iter().map(|table| {
        format!("{}.{} READ", quote_identifier(&table.database), quote_identifier(&table.table))
    });
    let lock = format!("LOCK TABLES {}", names.collect::<Vec<_>>().join(", "));
    source.run("SET SESSION lock_wait_timeout = 1").await?;
    let mut last = None;
    for _ in 0..ATTEMPTS_MAX {
        let ended = match source.run(&lock).await {
            Ok(()) => mover.drain(STANDSTILL_MAX).await.map_err(copy_failed),
            Err(error) => Err(error),
        };
        match ended {
            Ok(_) => {
                mover.stop().await;
                return source.run("UNLOCK TABLES").await;
            }
            Err(error) => last = Some(error),
        }
        source.run("UNLOCK TABLES").await?;
        tokio::time::sleep(ATTEMPT_PAUSE).await;
    }
    let why = last.map_or_else(String::new, |error| format!(": {error}"));
    Err(OperationError::timed_out(
        "busy",
        format!("broadcast tables are written all the time{why}"),
    )
    .hint("look for long transactions with SHOW PROCESSLIST, and run it again"))
}

/// Empties a server that no catalog knows: what an attempt that was broken off has left there.
async fn clean(catalog: &Catalog, target: &mut Server) -> Result<(), OperationError> {
    for name in catalog.databases.keys() {
        let rows = "SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND \
                    table_schema = ";
        let tables = target.texts(&format!("{rows}{}", super::servers::quoted(name))).await?;
        for table in tables.into_iter().flatten() {
            let is_broadcast =
                catalog.table(name, &table).is_some_and(|table| table.kind == TableKind::Broadcast);
            let full = format!("{}.{}", quote_identifier(name), quote_identifier(&table));
            if !is_broadcast
                && !target.rows(&format!("SELECT 1 FROM {full} LIMIT 1")).await?.is_empty()
            {
                return Err(OperationError::precondition(
                    "not_empty",
                    format!(
                        "the new server has rows in {name}.{table} that the cluster does not know"
                    ),
                )
                .hint("take an empty server, or drop that database there"));
            }
        }
        target.run(&format!("DROP DATABASE IF EXISTS {}", quote_identifier(name))).await?;
    }
    Ok(())
}

/// All broadcast tables.
fn broadcast(catalog: &Catalog) -> Vec<(String, String)> {
    catalog
        .tables()
        .filter(|table| table.kind == TableKind::Broadcast && !table.is_view)
        .map(|table| (table.database.clone(), table.name.clone()))
        .collect()
}

fn address(text: &str) -> Result<ServerAddress, OperationError> {
    crate::config::seed::server_address(text, None).map_err(OperationError::usage)
}

fn copy_failed(error: MoveError) -> OperationError {
    OperationError::failed("copy", crate::exit::chain(&error))
        .hint("run it again when that is mended; it goes on where it was")
}
