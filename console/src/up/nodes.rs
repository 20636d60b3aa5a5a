//! One metadata node or one proxy with its HTTP port: the parts that `up` puts into one
//! process and that `shardline meta` and `shardline proxy` run alone.

use super::{
    admin::{self, Readiness},
    listener::{self, AdminTls},
};
use crate::{
    api::{Api, ApiSettings, secret},
    config::{ClusterFile, ReadLevel, SettingsSpec},
    exit::{Failure, Reason, chain},
    operations::Operations,
};
use parking_lot::Mutex;
use shardline_base::{Policy, Shutdown, Tasks, Telemetry};
use shardline_meta_client::MetaClient;
use shardline_proxy::config::{ProxyConfig, ReadConsistency};
use shardline_rebalancer::{
    Settings,
    driver::{Account, Driver},
};
use std::{future::Future, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

/// How long the HTTP port may take to finish its answers.
const ADMIN_STOP: Duration = Duration::from_secs(2);

/// Longer than a proxy takes to drain.
pub const PROXY_STOP: Duration = Duration::from_secs(12);

/// A group of parts that must all run. The first that fails is remembered.
pub struct Parts {
    tasks: Tasks,
    failure: Arc<Mutex<Option<Failure>>>,
}

impl Parts {
    /// An empty group.
    pub fn new(name: &'static str) -> Self {
        Self { tasks: Tasks::new(name, &Shutdown::new()), failure: Arc::default() }
    }

    /// The node that stops the group.
    pub fn shutdown(&self) -> &Shutdown {
        self.tasks.shutdown()
    }

    /// Runs a part on the current runtime.
    pub fn run<E>(
        &self,
        name: impl Into<std::borrow::Cow<'static, str>>,
        part: impl Future<Output = Result<(), E>> + Send + 'static,
    ) where
        E: std::error::Error + Send + 'static,
    {
        let (name, failure) = (name.into(), self.failure.clone());
        let label = name.clone();
        self.tasks.spawn(name, Policy::Essential, async move {
            if let Err(error) = part.await {
                let text = format!("{label}: {}", chain(&error));
                failure.lock().get_or_insert_with(|| Failure::new(Reason::Failed, text));
            }
        });
    }

    /// Waits until a part has ended unasked, and tells why.
    pub async fn failed(&self) -> Failure {
        self.tasks.shutdown().triggered().await;
        self.take_failure()
            .unwrap_or_else(|| Failure::new(Reason::Failed, "a part ended unasked; see the log"))
    }

    /// Stops all parts and waits for at most `limit`.
    pub async fn stop(&self, limit: Duration) {
        self.tasks.stop_within(limit).await;
    }

    fn take_failure(&self) -> Option<Failure> {
        self.failure.lock().take()
    }
}

/// Builds and runs a metadata node.
pub async fn start_meta(parts: &Parts, config: shardline_meta::Config) -> Result<(), Failure> {
    let id = config.node_id;
    let node = config.build().await.map_err(|error| {
        Failure::new(Reason::Failed, format!("metadata node {id}: {}", chain(&error)))
    })?;
    parts.run(format!("metadata node {id}"), node.run(parts.shutdown().clone()));
    Ok(())
}

/// The HTTP port of a process.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its certificate; beyond the loopback there is one.
    pub tls: Option<AdminTls>,
    /// The file with the token of whoever may read it; made when it is not there.
    pub token_file: Option<PathBuf>,
}

/// Binds and serves the HTTP port of a process.
pub async fn start_admin(
    parts: &Parts,
    wanted: &Admin,
    readiness: Readiness,
    telemetry: Telemetry,
    operations: Option<Arc<Operations>>,
) -> Result<Option<Arc<Api>>, Failure> {
    let listener = listener::listen(wanted.listen, wanted.tls.as_ref()).await?;
    let local_token = wanted.token_file.as_deref().map(local_token).transpose()?;
    let stop = parts.shutdown().clone();
    let settings =
        ApiSettings { local_token, beyond_loopback: listener.has_tls(), stop: stop.clone() };
    let api = match operations {
        Some(operations) => Some(Api::new(operations, readiness.clone(), settings)?),
        None => None,
    };
    parts.run("telemetry", {
        let (telemetry, stop) = (telemetry.clone(), stop.clone());
        async move {
            telemetry.run(stop).await;
            Ok::<(), std::io::Error>(())
        }
    });
    let served = admin::serve(listener, readiness, telemetry, api.clone(), stop.clone());
    parts.run("http", async move {
        // A client that does not read its answer must not hold up the end.
        let deadline = async {
            stop.triggered().await;
            tokio::time::sleep(ADMIN_STOP).await;
        };
        tokio::select! {
            served = served => served,
            () = deadline => Ok(()),
        }
    });
    Ok(api)
}

/// The hash of the token in a file, which is made when it is not there.
fn local_token(path: &std::path::Path) -> Result<secret::SecretHash, Failure> {
    let token = match std::fs::read_to_string(path) {
        Ok(token) if !token.trim().is_empty() => token.trim().to_owned(),
        Ok(_) => return Err(Failure::new(Reason::Usage, format!("{} is empty", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let token = format!("local_{}", secret::fresh()?);
            crate::local::account::write_secret(path, &token)?;
            token
        }
        Err(error) => {
            let path = path.display();
            return Err(Failure::new(Reason::Failed, format!("cannot read {path}: {error}")));
        }
    };
    Ok(secret::hash(&token))
}

/// Waits for SIGTERM or SIGINT. A second one ends the process at once: its servers are
/// told to end by the kernel.
pub async fn stop_signal() -> Result<&'static str, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error| Failure::new(Reason::Failed, format!("cannot wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        eprintln!("second signal: ending at once");
        std::process::exit(130);
    });
    Ok(name)
}

/// Builds and runs a proxy on the runtime `data`, and what operators do with its cluster.
pub async fn start_proxy(
    parts: &Parts,
    mut config: ProxyConfig,
    meta: Arc<MetaClient>,
    data: &tokio::runtime::Handle,
) -> Result<Arc<Operations>, Failure> {
    let listen = config.listen;
    let account =
        Account { user: config.backend.user.clone(), password: config.backend.password.clone() };
    let jobs = meta.clone();
    let operations = Operations::new(meta.clone(), account.clone());
    config.operations = Some(operations.clone());
    let built = data.spawn(config.build(meta)).await;
    let proxy = built.map_err(|error| Failure::new(Reason::Failed, error))?.map_err(|error| {
        Failure::new(Reason::Failed, format!("proxy on {listen}: {}", chain(&error)))
    })?;
    let driver = Driver::new(jobs, account, Settings::default(), proxy.incarnation());
    operations.set_driver(driver.clone());
    operations.set_inside(proxy.inside());
    let (follower, stop) = (operations.clone(), parts.shutdown().clone());
    parts.run("journal", async move {
        follower.run(stop).await;
        Ok::<(), std::io::Error>(())
    });
    let stop = parts.shutdown().clone();
    parts.run("jobs", async move {
        driver.run(stop).await;
        Ok::<(), std::io::Error>(())
    });
    let _on_data = data.enter();
    parts.run("proxy", proxy.run(parts.shutdown().clone()));
    Ok(operations)
}

/// Puts the limits and settings of a cluster file in place of the defaults.
pub fn apply(config: &mut ProxyConfig, file: &ClusterFile) {
    apply_limits(&mut config.limits, &file.limits);
    let SettingsSpec { read_consistency, auditor } = file.settings;
    config.auditor = auditor.unwrap_or(config.auditor);
    if let Some(level) = read_consistency {
        config.read_consistency = match level {
            ReadLevel::Local => ReadConsistency::Local,
            ReadLevel::Committed => ReadConsistency::Committed,
            ReadLevel::Atomic => ReadConsistency::Atomic,
            ReadLevel::Strict => ReadConsistency::Strict,
        };
    }
}

fn apply_limits(limits: &mut shardline_proxy::config::Limits, wanted: &crate::config::Limits) {
    let set = |target: &mut usize, wanted: Option<usize>| *target = wanted.unwrap_or(*target);
    set(&mut limits.client_connections_max, wanted.sessions_max);
    set(&mut limits.backend_connections_max, wanted.shard_connections_max);
    set(&mut limits.backend_waiters_max, wanted.shard_waiters_max);
    set(&mut limits.held_statements_max, wanted.held_statements_max);
    set(&mut limits.packet_bytes_max, wanted.packet_bytes_max);
    set(&mut limits.compute_rows_max, wanted.compute_rows_max);
    set(&mut limits.compute_bytes_max, wanted.compute_bytes_max);
    if let Some(timeout_ms) = wanted.compute_timeout_ms {
        limits.compute_timeout = Duration::from_millis(timeout_ms);
    }
    if let Some(wait_ms) = wanted.checkout_timeout_ms {
        limits.checkout_timeout = Duration::from_millis(wait_ms);
    }
}
