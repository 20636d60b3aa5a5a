//! Beyond the loopback: nothing is listened on without a certificate, and nothing is told without a token.

use super::http::{Answer, text, understood};
use anyhow::{Context, Result, ensure};
use shardline_tests::{UpCluster, port::Port, process, process::Process, up::run_shardline, wait};
use shardline_wire::tls::{self, ServerTrust};
use std::{ffi::OsString, fs, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

const READY: Duration = Duration::from_secs(30);

async fn raw(cluster: &UpCluster, port: u16, request: &str, headers: &[&str]) -> Result<Answer> {
    let pem = fs::read(cluster.authority())?;
    let connector = TlsConnector::from(tls::client_config(&ServerTrust::Roots { pem })?);
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut stream = connector.connect(tls::server_name("127.0.0.1")?, stream).await?;
    stream.write_all(text(request, headers, "").as_bytes()).await?;
    let mut answer = Vec::new();
    // A connection that ends without a word of TLS has told all by then.
    stream.read_to_end(&mut answer).await.ok();
    understood(&answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_with_a_certificate() -> Result<()> {
    let cluster = UpCluster::start(&["--shards", "1"], None).await?;
    let (listen, admin) = (Port::take()?, Port::take()?);
    let folder = cluster.dir().with_file_name("proxy");
    fs::create_dir(&folder)?;
    let file = |name: &str| cluster.dir().join(name).into_os_string();
    let meta = cluster.run_file()?.meta.join(",");
    let token = folder.join("admin.token");
    let mut arguments: Vec<OsString> = vec!["proxy".into(), "--meta".into(), meta.into()];
    arguments.extend(["--listen".into(), format!("127.0.0.1:{}", listen.number()).into()]);
    arguments.extend(["--backend-password-file".into(), file("backend.password")]);

    let mut bare = arguments.clone();
    bare.extend(["--admin-listen".into(), format!("0.0.0.0:{}", admin.number()).into()]);
    let refused = run_shardline(&bare).await?;
    ensure!(refused.status.code() == Some(3), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(said.contains("no certificate") && said.contains("--admin-tls-cert"), "{said}");

    arguments.extend(["--admin-listen".into(), format!("127.0.0.1:{}", admin.number()).into()]);
    arguments.extend(["--admin-tls-cert".into(), file("tls/server.pem")]);
    arguments.extend(["--admin-tls-key".into(), file("tls/server-key.pem")]);
    arguments.extend(["--admin-token-file".into(), token.clone().into_os_string()]);
    let log = folder.join("proxy.log");
    let mut proxy =
        Process::start("proxy", &process::shardline()?, arguments, Vec::new(), &log).await?;
    let port = admin.number();
    wait::until("the proxy is ready", READY, || async {
        raw(&cluster, port, "GET /readyz", &[]).await?.with_status(200).map(|_| ())
    })
    .await?;

    raw(&cluster, port, "GET /metrics", &[]).await?.with_status(401)?;
    raw(&cluster, port, "GET /api/v1/shards", &[]).await?.with_code(401, "unauthenticated")?;
    let bearer = format!("Authorization: Bearer {}", fs::read_to_string(&token)?.trim());
    let metrics = raw(&cluster, port, "GET /metrics", &[&bearer]).await?.with_status(200)?;
    ensure!(metrics.body.contains("shardline_proxy_sessions"), "{}", metrics.body);

    let words: Vec<OsString> = [
        "shard",
        "list",
        "-o",
        "json",
        "--api",
        &format!("https://127.0.0.1:{port}"),
        "--token-file",
    ]
    .iter()
    .map(OsString::from)
    .chain([token.into_os_string(), "--api-ca".into(), cluster.authority().into_os_string()])
    .collect();
    let listed = run_shardline(&words).await?;
    ensure!(listed.status.success(), "{listed:?}");
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).context("JSON")?;
    ensure!(listed["items"][0]["name"] == "s1", "{listed}");
    let status = proxy.terminate(READY).await?;
    ensure!(status.success(), "{status}: {}", proxy.log_tail());
    Ok(())
}
