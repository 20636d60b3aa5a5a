//! The folder of a local cluster: its marker, what it remembers, who runs it, and how it
//! is removed. Only folders with the marker are ever changed or removed.

use crate::exit::{Failure, Reason};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs,
    hash::{BuildHasher, RandomState},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Marks a folder as ours and holds what it remembers.
const MARKER: &str = "shardline.json";
/// Locked by the process that runs the cluster.
const LOCK: &str = "lock";
/// Written by the process that runs the cluster.
const RUN: &str = "run.json";
/// The token by which commands on this machine call the API.
pub const CONSOLE_TOKEN: &str = "console.token";
/// Everything that a folder may hold, for removal.
const ENTRIES: [&str; 13] = [
    "template",
    "template.draft",
    "template.sql",
    "template.new",
    "template.tmp",
    "shards",
    "meta",
    "tls",
    "logs",
    "backend.password",
    CONSOLE_TOKEN,
    RUN,
    LOCK,
];
/// Version of the folder's layout.
const FORMAT: u32 = 1;
/// Longest path of a unix socket, less the name of the socket itself.
const SOCKET_FOLDER_BYTES_MAX: usize = 90;

/// What a folder remembers from run to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderState {
    /// Version of the layout.
    pub format: u32,
    /// The cluster's name.
    pub cluster: String,
    /// Its shards' servers.
    pub shards: Vec<LocalShard>,
    /// Ports of its metadata nodes.
    pub meta_ports: Vec<u16>,
    /// The proxy's port.
    pub sql_port: u16,
    /// The port of health checks and metrics.
    pub console_port: u16,
    /// How far the catalog of `cluster.yaml` and the demo have come.
    pub progress: Progress,
    /// Where unix sockets are, when the folder's own path is too long for them.
    pub socket_folder: Option<PathBuf>,
}

/// One shard's server on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalShard {
    /// The shard's name.
    pub name: String,
    /// Its server's port.
    pub port: u16,
    /// Its server's number, unique in the cluster; 0 for its place among the shards.
    #[serde(default)]
    pub server_id: u32,
    /// A new cluster's catalog does not begin with it: it is being added, or removed.
    #[serde(default)]
    pub unsown: bool,
}

/// What has been done once and must not be done again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The first catalog has been written.
    pub seeded: bool,
    /// Loading the demo has begun.
    pub demo_begun: bool,
    /// The demo is loaded.
    pub demo_loaded: bool,
}

/// The running process, as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunState {
    /// Its process id.
    pub pid: u32,
    /// True once it takes statements.
    pub ready: bool,
    /// Where its proxy listens.
    pub sql_port: u16,
    /// Where its health checks are.
    pub console_port: u16,
    /// Addresses of its metadata nodes.
    pub meta: Vec<String>,
    /// Names of its shards.
    pub shards: Vec<String>,
    /// True with the demo's bank.
    pub demo: bool,
    /// What was started, in one line for people; empty until it is ready.
    pub headline: String,
}

/// A folder of ours.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

/// Held while a process runs the cluster; the kernel releases it however the process ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: fs::File,
}

impl Folder {
    /// Opens a folder of ours; None when there is none at `root`.
    pub fn open(root: &Path) -> Result<Option<Self>, Failure> {
        match root.canonicalize() {
            Ok(root) if root.join(MARKER).is_file() => Ok(Some(Self { root })),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file_failure("open", root, &error)),
        }
    }

    /// Opens a folder of ours or takes an empty or absent one. The marker is written
    /// with the first state, by [`Folder::save`].
    pub fn open_or_take(root: &Path) -> Result<Self, Failure> {
        if let Some(folder) = Self::open(root)? {
            return Ok(folder);
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(|error| file_failure("create", root, &error))?;
        let root = root.canonicalize().map_err(|error| file_failure("open", root, &error))?;
        let strange = fs::read_dir(&root)
            .map_err(|error| file_failure("read", &root, &error))?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .find(|name| !ENTRIES.contains(&name.as_str()));
        match strange {
            Some(name) => Err(Failure::new(
                Reason::Precondition,
                format!("{} was not made by shardline (it holds {name})", root.display()),
            )
            .hint("choose another folder with --dir")),
            None => Ok(Self { root }),
        }
    }

    /// The folder's absolute path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path inside the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Takes the folder for this process; None when another process runs it.
    pub fn lock(&self) -> Result<Option<FolderLock>, Failure> {
        let path = self.path(LOCK);
        let file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| file_failure("open", &path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(FolderLock { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(file_failure("lock", &path, &error)),
        }
    }

    /// What the folder remembers; None in a new one.
    pub fn state(&self) -> Result<Option<FolderState>, Failure> {
        let state: Option<FolderState> = self.read(MARKER)?;
        match state {
            Some(state) if state.format != FORMAT => Err(Failure::new(
                Reason::Precondition,
                format!(
                    "{} has layout {}, this program knows layout {FORMAT}",
                    self.root.display(),
                    state.format
                ),
            )),
            state => Ok(state),
        }
    }

    /// A new folder's state, without shards or ports.
    pub fn new_state(&self, cluster: &str) -> FolderState {
        let long = self.root.as_os_str().len() > SOCKET_FOLDER_BYTES_MAX;
        let tag = RandomState::new().hash_one(&self.root);
        FolderState {
            format: FORMAT,
            cluster: cluster.to_owned(),
            shards: Vec::new(),
            meta_ports: Vec::new(),
            sql_port: 0,
            console_port: 0,
            progress: Progress::default(),
            socket_folder: long.then(|| std::env::temp_dir().join(format!("shardline-{tag:016x}"))),
        }
    }

    /// Remembers a state.
    pub fn save(&self, state: &FolderState) -> Result<(), Failure> {
        self.write(MARKER, state)
    }

    /// What the running process says of itself. Believe it only while the folder is locked.
    pub fn run_state(&self) -> Result<Option<RunState>, Failure> {
        self.read(RUN)
    }

    /// Publishes what this process runs.
    pub fn publish(&self, run: &RunState) -> Result<(), Failure> {
        self.write(RUN, run)
    }

    /// Removes what [`Folder::publish`] wrote.
    pub fn unpublish(&self) {
        // A stale file is harmless: it is believed only while the folder is locked.
        fs::remove_file(self.path(RUN)).ok();
    }

    /// The folder for unix sockets, made if needed, for this user alone.
    pub fn socket_folder(&self, state: &FolderState) -> Result<PathBuf, Failure> {
        let Some(path) = &state.socket_folder else { return Ok(self.root.clone()) };
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(file_failure("create", path, &error));
            }
            _ => {}
        }
        let found = fs::symlink_metadata(path).map_err(|e| file_failure("read", path, &e))?;
        let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
        if ours {
            return Ok(path.clone());
        }
        Err(Failure::new(Reason::Precondition, format!("{} is not our folder", path.display())))
    }

    /// The data folder of a shard.
    pub fn shard_data(&self, name: &str) -> PathBuf {
        self.path("shards").join(name).join("data")
    }

    /// Removes everything that we put there, and the folder itself when nothing else is
    /// in it. Returns the names of things that are not ours and stay.
    pub fn purge(self) -> Result<Vec<String>, Failure> {
        if let Some(socket_folder) = self.state()?.and_then(|state| state.socket_folder) {
            // Only sockets are in it; what cannot be removed is left to the system.
            fs::remove_dir_all(socket_folder).ok();
        }
        // The marker goes last: an interrupted removal can be taken up again.
        let sockets = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let sockets = sockets
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.ends_with(".sock") || name.ends_with(".new"));
        let names: Vec<String> = sockets.chain(ENTRIES.map(str::to_owned)).collect();
        for name in names.iter().map(String::as_str).chain([MARKER]) {
            let path = self.path(name);
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(file_failure("remove", &path, &error));
                }
                _ => {}
            }
        }
        let left: Vec<String> = fs::read_dir(&self.root)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        if left.is_empty() {
            fs::remove_dir(&self.root).map_err(|e| file_failure("remove", &self.root, &e))?;
        }
        Ok(left)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        let path = self.path(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file_failure("read", &path, &error)),
        };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            Failure::new(
                Reason::Precondition,
                format!("cannot understand {}: {error}", path.display()),
            )
        })
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Failure> {
        let path = self.path(name);
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::new(Reason::Failed, error))?;
        crate::local::account::write_secret(&path, &text).map_err(Failure::from)
    }
}

fn file_failure(action: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Reason::Failed, format!("cannot {action} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_folder_is_left_alone() {
        let folder = tempfile::tempdir().expect("tempdir");
        fs::write(folder.path().join("precious.txt"), "x").expect("file");
        let failure = Folder::open_or_take(folder.path()).expect_err("not ours");
        assert_eq!(failure.reason, Reason::Precondition);
        assert!(failure.message.contains("precious.txt"), "{failure}");
        assert!(Folder::open(folder.path()).expect("readable").is_none());
    }

    #[test]
    fn a_folder_remembers_and_is_removed_but_for_what_is_not_ours() {
        let parent = tempfile::tempdir().expect("tempdir");
        let root = parent.path().join("a/b");
        let folder = Folder::open_or_take(&root).expect("taken");
        assert_eq!(folder.state().expect("readable"), None);
        let state = folder.new_state("bank");
        folder.save(&state).expect("saved");
        let again = Folder::open(&root).expect("readable").expect("ours");
        assert_eq!(again.state().expect("readable"), Some(state));
        fs::create_dir(folder.path("shards")).expect("folder");
        fs::write(folder.path("mine.txt"), "x").expect("file");
        assert_eq!(again.purge().expect("purged"), ["mine.txt"]);
        assert!(root.join("mine.txt").exists());
        assert!(!root.join("shards").exists());
    }

    #[test]
    fn one_process_at_a_time() {
        let parent = tempfile::tempdir().expect("tempdir");
        let folder = Folder::open_or_take(parent.path()).expect("taken");
        let lock = folder.lock().expect("lockable").expect("free");
        assert!(folder.lock().expect("lockable").is_none());
        drop(lock);
        assert!(folder.lock().expect("lockable").is_some());
    }

    #[test]
    fn sockets_of_deep_folders_go_elsewhere() {
        let parent = tempfile::tempdir().expect("tempdir");
        let deep = parent.path().join("x".repeat(120));
        let folder = Folder::open_or_take(&deep).expect("taken");
        let state = folder.new_state("bank");
        let sockets = folder.socket_folder(&state).expect("made");
        assert!(sockets.as_os_str().len() <= SOCKET_FOLDER_BYTES_MAX);
        folder.save(&state).expect("saved");
        folder.purge().expect("purged");
        assert!(!sockets.exists());
    }
}
