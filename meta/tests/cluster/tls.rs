//! Mutual TLS between nodes and with clients: who has no certificate of the authority gets
//! nothing.

use crate::harness::{Cluster, rename};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use shardline_meta::Timing;
use shardline_meta_client::{MetaClient, TlsFiles};
use std::{fs, path::Path};

/// An authority and one certificate for the loopback, as files in a new folder.
fn make_files(folder: &Path) -> TlsFiles {
    fs::create_dir_all(folder).unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let files = TlsFiles {
        authority: folder.join("authority.pem"),
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
    };
    fs::write(&files.authority, authority.pem()).unwrap();
    fs::write(&files.certificate, certificate.pem()).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_talk_in_tls_and_turn_strangers_away() {
    let cluster = Cluster::start_with(3, Timing::default(), |folder| {
        Some(make_files(&folder.path().join("tls")))
    })
    .await;
    let client = cluster.client().await;
    client.propose(rename("private")).await.unwrap();
    assert_eq!(client.catalog().cluster, "private");

    let strangers = tempfile::tempdir().unwrap();
    for tls in [None, Some(make_files(strangers.path()))] {
        let mut config = cluster.client_config();
        config.tls = tls;
        config.timing.call_timeout_ms = 700;
        let refused = MetaClient::connect(config, &cluster.shutdown).await;
        assert!(refused.is_err(), "a stranger got in");
    }
    let absent = TlsFiles { key: "/nowhere/key.pem".into(), ..cluster.tls.clone().unwrap() };
    let mut config = cluster.client_config();
    config.tls = Some(absent);
    let Err(error) = MetaClient::connect(config, &cluster.shutdown).await else {
        panic!("a missing key is no error")
    };
    let text = format!("{:?}", error);
    assert!(text.contains("/nowhere/key.pem"), "{text}");
}
