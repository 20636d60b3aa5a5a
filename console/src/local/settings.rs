//! The command line of one server. It is the whole configuration: no option file is read.

use super::Programs;
use std::{ffi::OsString, path::PathBuf};

/// Everything that one server is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Its data folder.
    pub data_dir: PathBuf,
    /// Its unix socket; at most 107 bytes long.
    pub socket: PathBuf,
    /// Its TCP port on the loopback address.
    pub port: u16,
    /// Where it writes its error log.
    pub error_log: PathBuf,
    /// Unique among the servers of a cluster.
    pub server_id: u32,
    /// Its limits and caches.
    pub tuning: ServerTuning,
}

/// The settings that a cluster's owner may want to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTuning {
    /// InnoDB's cache, in MiB.
    pub buffer_pool_mib: u32,
    /// Connections that a server takes.
    pub connections_max: u32,
    /// More options, as the server spells them; they win over ours.
    pub options: Vec<String>,
}

impl Default for ServerTuning {
    fn default() -> Self {
        Self { buffer_pool_mib: 64, connections_max: 1_000, options: Vec::new() }
    }
}

/// The size of the redo log that the template is made with and servers run with.
pub const REDO_LOG_MIB: u32 = 48;

impl ServerSettings {
    /// Where it keeps temporary files: its own, since a starting server removes all
    /// temporary tables that it finds.
    pub fn temporary_dir(&self) -> PathBuf {
        self.data_dir.with_file_name("tmp")
    }

    /// The server's arguments. Commits and the binlog are durable before they are
    /// acknowledged, and the binlog has what change streams need.
    pub fn arguments(&self, programs: &Programs) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--no-defaults".into()];
        let mut path = |name: &str, value: &std::path::Path| {
            let mut argument = OsString::from(format!("--{name}="));
            argument.push(value);
            arguments.push(argument);
        };
        path("datadir", &self.data_dir);
        path("tmpdir", &self.temporary_dir());
        path("socket", &self.socket);
        path("log-error", &self.error_log);
        path("pid-file", &self.data_dir.join("server.pid"));
        if let Some(base) = programs.base_folder() {
            path("basedir", base);
        }
        let tuning = &self.tuning;
        arguments.extend(
            [
                format!("--port={}", self.port),
                format!("--server-id={}", self.server_id),
                format!("--innodb-buffer-pool-size={}M", tuning.buffer_pool_mib),
                format!("--max-connections={}", tuning.connections_max),
                "--bind-address=127.0.0.1".to_owned(),
                "--skip-name-resolve".to_owned(),
                "--innodb-flush-log-at-trx-commit=1".to_owned(),
                "--sync-binlog=1".to_owned(),
                "--log-bin=binlog".to_owned(),
                "--binlog-format=ROW".to_owned(),
                "--binlog-row-image=FULL".to_owned(),
                "--binlog-row-metadata=FULL".to_owned(),
                "--max-binlog-size=128M".to_owned(),
                "--binlog-expire-logs-seconds=259200".to_owned(),
                "--character-set-server=utf8mb4".to_owned(),
                "--collation-server=utf8mb4_general_ci".to_owned(),
                "--max-allowed-packet=256M".to_owned(),
                "--performance-schema=OFF".to_owned(),
            ]
            .map(OsString::from),
        );
        arguments.extend(family_arguments(programs).into_iter().map(OsString::from));
        if super::template::running_as_root() {
            arguments.push("--user=root".into());
        }
        arguments.extend(tuning.options.iter().map(OsString::from));
        arguments
    }
}

/// Options that only one of the two families of servers knows.
fn family_arguments(programs: &Programs) -> Vec<String> {
    if programs.is_mariadb() {
        vec![format!("--innodb-log-file-size={REDO_LOG_MIB}M"), "--skip-slave-start".to_owned()]
    } else {
        vec![
            format!("--innodb-redo-log-capacity={REDO_LOG_MIB}M"),
            "--gtid-mode=ON".to_owned(),
            "--enforce-gtid-consistency=ON".to_owned(),
            "--skip-replica-start".to_owned(),
            "--mysqlx=OFF".to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::program::Installer;

    #[test]
    fn durability_and_loopback_are_never_left_to_chance() {
        let programs = Programs {
            server: "/usr/sbin/mariadbd".into(),
            installer: Installer::ServerItself,
            version: "10.11.19-MariaDB".into(),
        };
        let settings = ServerSettings {
            data_dir: "/d".into(),
            socket: "/d.sock".into(),
            port: 4311,
            error_log: "/d.log".into(),
            server_id: 1,
            tuning: ServerTuning {
                options: vec!["--tmp-table-size=1M".into()],
                ..Default::default()
            },
        };
        let arguments = settings.arguments(&programs);
        assert_eq!(arguments[0], "--no-defaults");
        for wanted in ["--innodb-flush-log-at-trx-commit=1", "--bind-address=127.0.0.1"] {
            assert!(arguments.iter().any(|argument| argument == wanted), "{wanted}");
        }
        assert_eq!(arguments.last().expect("some"), "--tmp-table-size=1M");
    }
}
