//! A disk that fails under the log: the node stops with the reason and acknowledges nothing
//! that is not stored.

use crate::{
    config::{Config, Timing},
    log_store::LogStore,
    machine::Machine,
    node::NodeError,
};
use redb::{Database, StorageBackend, backends::FileBackend};
use shardline_base::Shutdown;
use shardline_meta_client::{ClientConfig, MetaClient, ProposeError};
use shardline_model::change::Change;
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::net::TcpListener;

/// A file whose disk becomes full when told so.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    full: Arc<AtomicBool>,
}

impl Disk {
    fn check(&self) -> io::Result<()> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.file.write(offset, data)
    }
}

fn log_on_disk(path: &Path, full: Arc<AtomicBool>) -> LogStore {
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    let disk = Disk { file: FileBackend::new(file).unwrap(), full };
    LogStore::over(Database::builder().create_with_backend(disk).unwrap()).unwrap()
}

fn set_cluster(name: &str) -> Change {
    Change::SetCluster { name: name.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_the_node_and_acknowledges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let log = log_on_disk(&folder.path().join("log.redb"), full.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config {
        node_id: 1,
        listen: address,
        data_dir: folder.path().to_owned(),
        members: BTreeMap::from([(1, address.to_string())]),
        tls: None,
        timing: Timing::default(),
    };
    let machine = Machine::open(folder.path()).unwrap();
    let node = config.assemble(log, machine, listener, None, None).await.unwrap();
    let shutdown = Shutdown::new();
    let running = tokio::spawn(node.run(shutdown.clone()));
    let mut client_config = ClientConfig::new([address.to_string()]);
    client_config.timing.call_timeout_ms = 2_000;
    let client = MetaClient::connect(client_config, &shutdown).await.unwrap();
    client.propose(set_cluster("stored")).await.unwrap();

    full.store(true, Ordering::SeqCst);
    let refused = client.propose(set_cluster("lost")).await;
    assert!(matches!(refused, Err(ProposeError::Call(_))), "{refused:?}");
    let ended = running.await.unwrap();
    let Err(error @ NodeError::Fatal { .. }) = ended else { panic!("it went on: {ended:?}") };
    assert!(error.to_string().contains("storage"), "{error}");
    assert_eq!(client.catalog().cluster, "stored");
}
