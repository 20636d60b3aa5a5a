//! One real MariaDB server.

use crate::{folder::Folder, port::Port, process::Process, sql, wait};
use anyhow::{Context, Result};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use shardline_console::local::{
    Account, Programs, ServerSettings, Template, settings::ServerTuning,
};
use std::{ffi::OsString, fs, path::PathBuf, time::Duration};

/// How long a server may take to answer, recovery included.
const READY: Duration = Duration::from_secs(60);

/// Which template: to be raised when what makes it changes.
const TEMPLATE: u32 = 1;

/// A server, running unless it was killed. Its folder and port stay the same over restarts.
#[derive(Debug)]
pub struct Server {
    process: Option<Process>,
    settings: ServerSettings,
    programs: Programs,
    environment: Vec<(OsString, OsString)>,
    _port: Port,
    folder: Folder,
}

/// The account that every server of the tests has.
pub fn account() -> Account {
    Account { user: Account::USER.to_owned(), password: "for-tests-only".to_owned() }
}

/// The server programs of this machine.
pub fn programs() -> Result<Programs> {
    Ok(Programs::find(None, &Programs::default_folders())?)
}

/// The programs of a MySQL LTS server: what `SHARDLINE_MYSQLD` names, or what is installed in
/// `~/.cache/shardline/mysql-lts`. `None`, said aloud, where there is none.
pub fn mysql_programs() -> Result<Option<Programs>> {
    let named = std::env::var_os("SHARDLINE_MYSQLD").map(PathBuf::from);
    let usual = || {
        let home = PathBuf::from(std::env::var_os("HOME")?);
        Some(home.join(".cache/shardline/mysql-lts/bin/mysqld")).filter(|path| path.is_file())
    };
    let Some(server) = named.or_else(usual) else {
        eprintln!(
            "NOT TESTED on MySQL: no server in SHARDLINE_MYSQLD or ~/.cache/shardline/mysql-lts"
        );
        return Ok(None);
    };
    Ok(Some(Programs::find(Some(&server), &[])?))
}

/// The data folder that all servers are copied from, made once for a machine and version.
fn template(programs: &Programs) -> Result<Template> {
    let user = rustix::process::geteuid().as_raw();
    let version = programs.short_version();
    let folder =
        std::env::temp_dir().join(format!("shardline-test-template-{user}-{version}-{TEMPLATE}"));
    fs::create_dir_all(&folder).context("making the template's folder")?;
    let lock = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("lock"))
        .context("opening the template's lock")?;
    lock.lock().context("locking the template")?;
    Ok(Template::prepare(programs, &folder.join("data"), &account())?)
}

impl Server {
    /// Starts a fresh server and waits until it answers.
    pub async fn start() -> Result<Self> {
        Self::start_with(ServerTuning { buffer_pool_mib: 32, ..ServerTuning::default() }, 1).await
    }

    /// Starts a fresh server with settings and a server id of its own.
    pub async fn start_with(tuning: ServerTuning, server_id: u32) -> Result<Self> {
        Self::start_in(tuning, server_id, Vec::new()).await
    }

    /// Starts a fresh server with environment variables as well.
    pub async fn start_in(
        tuning: ServerTuning,
        server_id: u32,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Self> {
        Self::start_of(programs()?, tuning, server_id, environment).await
    }

    /// Starts a fresh server of these programs, such as a MySQL's.
    pub async fn start_of(
        programs: Programs,
        tuning: ServerTuning,
        server_id: u32,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Self> {
        let (folder, port) = (Folder::new()?, Port::take()?);
        let settings = ServerSettings {
            data_dir: folder.path().join("data"),
            socket: folder.path().join("server.sock"),
            port: port.number(),
            error_log: folder.path().join("error.log"),
            server_id,
            tuning,
        };
        template(&programs)?.copy_to(&settings.data_dir)?;
        let process = None;
        let mut server = Self { process, settings, programs, environment, _port: port, folder };
        server.restart().await?;
        Ok(server)
    }

    /// Starts it again after [`Server::kill`].
    pub async fn restart(&mut self) -> Result<()> {
        fs::create_dir_all(self.settings.temporary_dir()).context("making its tmpdir")?;
        let process = Process::start(
            "mariadbd",
            &self.programs.server,
            self.settings.arguments(&self.programs),
            self.environment.clone(),
            &self.settings.error_log,
        )
        .await?;
        let process = self.process.insert(process);
        let options = options(&self.settings.socket);
        wait::until("the server answers", READY, || {
            let (alive, options) = (process.check_running(), options.clone());
            async move {
                alive?;
                let mut connection = Conn::new(options).await?;
                connection.query_drop("SELECT 1").await?;
                Ok(connection.disconnect().await?)
            }
        })
        .await
    }

    /// kill -9.
    pub async fn kill(&mut self) -> Result<()> {
        match &mut self.process {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// The process, for signals.
    pub fn process(&self) -> Result<&Process> {
        self.process.as_ref().context("the server is not running")
    }

    /// A direct connection, around any proxy.
    pub async fn connect(&self) -> Result<Conn> {
        sql::connect(self.options()).await
    }

    /// Options of a direct connection, which stay the same over restarts.
    pub fn options(&self) -> OptsBuilder {
        options(&self.settings.socket)
    }

    /// Its port on the loopback address.
    pub fn port(&self) -> u16 {
        self.settings.port
    }

    /// Its unix socket.
    pub fn socket(&self) -> &PathBuf {
        &self.settings.socket
    }

    /// Its temporary folder.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

fn options(socket: &std::path::Path) -> OptsBuilder {
    let account = account();
    OptsBuilder::default()
        .socket(Some(socket.display().to_string()))
        .user(Some(account.user))
        .pass(Some(account.password))
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process must be gone before its folder is removed.
        self.process.take();
    }
}
