//! `shardline proxy`: one proxy.

use super::arguments::ProxyArguments;
use crate::{
    config,
    exit::{Failure, Reason, chain},
    up::{
        admin::Readiness,
        nodes::{self, Parts},
    },
};
use shardline_base::Shutdown;
use shardline_meta_client::{ClientConfig, MetaClient};
use shardline_proxy::config::{BackendAccount, ClientTls, ProxyConfig};
use std::{env, fs, time::Duration};

/// How long the HTTP port may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// Runs the proxy until a signal.
pub(super) fn run(arguments: &ProxyArguments) -> Result<(), Failure> {
    let config = proxy_config(arguments)?;
    let telemetry = super::telemetry(&arguments.log)?;
    let control = super::runtime("control", 1)?;
    let data = super::runtime("proxy", 1)?;
    let result = control.block_on(async {
        let mut client = ClientConfig::new(arguments.meta.clone());
        client.tls = arguments.tls.files();
        let meta = MetaClient::connect(client, &Shutdown::new()).await.map_err(|error| {
            Failure::new(Reason::Unavailable, format!("the metadata service: {}", chain(&error)))
        })?;
        let (proxy, admin, readiness) =
            (Parts::new("proxy"), Parts::new("admin"), Readiness::default());
        let operations = nodes::start_proxy(&proxy, config, meta.clone(), data.handle()).await?;
        if let Some(wanted) = arguments.admin.wanted(arguments.admin_token_file.as_ref()) {
            let operations = Some(operations);
            nodes::start_admin(&admin, &wanted, readiness.clone(), telemetry, operations).await?;
        }
        readiness.set(true);
        println!("✓ proxy on {}", arguments.listen);
        let result = tokio::select! {
            signal = nodes::stop_signal() => signal.map(|_| ()),
            failure = proxy.failed() => Err(failure),
            failure = admin.failed() => Err(failure),
        };
        readiness.set(false);
        proxy.stop(nodes::PROXY_STOP).await;
        meta.stop().await;
        admin.stop(STOP_LIMIT).await;
        result
    });
    data.shutdown_timeout(Duration::from_secs(1));
    result
}

fn proxy_config(arguments: &ProxyArguments) -> Result<ProxyConfig, Failure> {
    let password = match &arguments.backend_password_file {
        Some(path) => fs::read_to_string(path).map_err(|error| {
            let path = path.display();
            Failure::new(Reason::Unavailable, format!("cannot read {path}: {error}"))
        })?,
        None => String::new(),
    };
    let backend = BackendAccount {
        user: arguments.backend_user.clone(),
        password: password.trim_end_matches(['\r', '\n']).to_owned(),
    };
    let mut config = ProxyConfig::new(arguments.listen, backend);
    if let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) {
        config.tls = ClientTls::Files { certificate: certificate.clone(), key: key.clone() };
    }
    if let Some(workers) = arguments.workers {
        config.workers = workers.into();
    }
    if let Some(version) = &arguments.server_version {
        config.server_version.clone_from(version);
    }
    if let Some(path) = &arguments.config {
        let file = config::load(path, |name| env::var(name).ok())?;
        nodes::apply(&mut config, &file);
    }
    Ok(config)
}
