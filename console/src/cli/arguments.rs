//! What can be written on the command line.

use super::{
    access_arguments::{AuditVerb, RoleVerb, TokenVerb, UserVerb},
    live_arguments::{
        ClusterVerb, DatabaseVerb, ExplainArguments, SessionVerb, StatisticsVerb, TableVerb,
        TransactionVerb,
    },
    operator_arguments::{ApiArguments, JobVerbArguments, RebalanceVerb, ShardVerb},
};
use crate::up::{listener::AdminTls, nodes::Admin};
use clap::{Args, Parser, Subcommand, ValueEnum, builder::BoolishValueParser};
use shardline_base::LogFormat;
use shardline_meta_client::TlsFiles;
use std::{net::SocketAddr, path::PathBuf};

/// Shardline makes many MariaDB or MySQL servers look like one.
#[derive(Debug, Parser)]
#[command(name = "shardline", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a whole cluster on this machine: servers, metadata service and proxy
    Up(UpArguments),
    /// Stop the cluster of a folder; its data stays
    Down(DownArguments),
    /// Show shards, metadata nodes and proxies
    Status(StatusArguments),
    /// Open an SQL prompt on a cluster, or run one statement
    Sql(SqlArguments),
    /// Run one metadata node
    Meta(MetaArguments),
    /// Run one proxy
    Proxy(ProxyArguments),
    /// Shards: add, drain, remove
    #[command(subcommand)]
    Shard(ShardVerb),
    /// Move data between shards while it is in use
    #[command(subcommand)]
    Rebalance(RebalanceVerb),
    /// Long work of the cluster
    #[command(subcommand)]
    Job(JobVerbArguments),
    /// The cluster as it is now: servers, proxies, rates, events
    #[command(subcommand)]
    Cluster(ClusterVerb),
    /// Databases
    #[command(subcommand)]
    Database(DatabaseVerb),
    /// Tables: how they are spread, and how much of them is where
    #[command(subcommand)]
    Table(TableVerb),
    /// Sessions of clients
    #[command(subcommand)]
    Session(SessionVerb),
    /// Transactions over several shards
    #[command(subcommand)]
    Txn(TransactionVerb),
    /// Say what would be done with a statement, without running it
    Explain(ExplainArguments),
    /// What statements cost
    #[command(subcommand)]
    SqlStats(StatisticsVerb),
    /// Users of the console and the API
    #[command(subcommand)]
    User(UserVerb),
    /// Roles, and what they allow
    #[command(subcommand)]
    Role(RoleVerb),
    /// Tokens for programs
    #[command(subcommand)]
    Token(TokenVerb),
    /// What was done with the cluster, and by whom
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Print a link that opens the web console, logged in
    Console(ApiArguments),
    /// Say who one is for the API, and what one may do
    Whoami(ApiArguments),
    /// Print the completion script of a shell
    Completion(CompletionArguments),
    /// Print the version
    Version,
}

/// Where a local cluster lives.
#[derive(Args, Clone, Debug)]
pub struct DirArguments {
    /// The cluster's folder
    #[arg(long, env = "SHARDLINE_DIR", default_value = ".shardline", value_name = "DIR")]
    pub dir: PathBuf,
}

/// How a process logs.
#[derive(Args, Clone, Debug)]
pub struct LogArguments {
    /// Log lines as text or json
    #[arg(long, env = "SHARDLINE_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// What is logged: a level, or directives such as info,openraft=debug
    #[arg(
        long,
        env = "SHARDLINE_LOG",
        default_value = "info,openraft=warn",
        value_name = "FILTER"
    )]
    pub log: String,
}

/// `shardline up`.
#[derive(Args, Clone, Debug)]
pub struct UpArguments {
    /// Where the cluster lives.
    #[command(flatten)]
    pub dir: DirArguments,
    /// How many shards a new cluster gets [default: 3]
    #[arg(long, env = "SHARDLINE_SHARDS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub shards: Option<u32>,
    /// Port for MySQL clients [default: 4306, or the next free one]
    #[arg(long, env = "SHARDLINE_SQL_PORT", value_name = "PORT")]
    pub sql_port: Option<u16>,
    /// Port for health checks and metrics [default: 4380, or the next free one]
    #[arg(long, env = "SHARDLINE_CONSOLE_PORT", value_name = "PORT")]
    pub console_port: Option<u16>,
    /// Load a small bank to play with
    #[arg(long, env = "SHARDLINE_DEMO", value_parser = BoolishValueParser::new())]
    pub demo: bool,
    /// With --demo: keep a light load running
    #[arg(long, env = "SHARDLINE_LOAD", value_parser = BoolishValueParser::new(), requires = "demo")]
    pub load: bool,
    /// Return when the cluster is ready; it goes on in the background
    #[arg(long, env = "SHARDLINE_DETACH", value_parser = BoolishValueParser::new())]
    pub detach: bool,
    /// Declares shards, databases, tables, users and limits
    #[arg(long, env = "SHARDLINE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How many metadata nodes a new cluster gets: 1 or 3
    #[arg(long, env = "SHARDLINE_META_NODES", value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=3))]
    pub meta_nodes: u8,
    /// The server program [default: the first mariadbd or mysqld found]
    #[arg(long, env = "SHARDLINE_MARIADBD", value_name = "FILE")]
    pub mariadbd: Option<PathBuf>,
    /// Folders searched for server programs, separated by colons [default: PATH and the usual ones]
    #[arg(long, env = "SHARDLINE_SEARCH_PATH", value_name = "FOLDERS")]
    pub search_path: Option<String>,
    /// Logs.
    #[command(flatten)]
    pub log: LogArguments,
    /// Set by `--detach` for the process in the background.
    #[arg(long, hide = true, env = "SHARDLINE_IN_BACKGROUND", value_parser = BoolishValueParser::new())]
    pub in_background: bool,
}

/// `shardline down`.
#[derive(Args, Clone, Debug)]
pub struct DownArguments {
    /// Where the cluster lives.
    #[command(flatten)]
    pub dir: DirArguments,
    /// Remove the data too
    #[arg(long, env = "SHARDLINE_PURGE", value_parser = BoolishValueParser::new())]
    pub purge: bool,
}

/// The form of what a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs; stable.
    Json,
}

/// `shardline status`.
#[derive(Args, Clone, Debug)]
pub struct StatusArguments {
    /// Where the cluster lives.
    #[command(flatten)]
    pub dir: DirArguments,
    /// Metadata nodes of a cluster that is not local: HOST:PORT, separated by commas
    #[arg(long, env = "SHARDLINE_META", value_name = "ADDRESSES", value_delimiter = ',')]
    pub meta: Vec<String>,
    /// How to print it
    #[arg(short, long, env = "SHARDLINE_OUTPUT", default_value = "table", value_name = "FORM")]
    pub output: Output,
    /// Mutual TLS towards the metadata service.
    #[command(flatten)]
    pub tls: MetaTlsArguments,
}

/// `shardline sql`.
#[derive(Args, Clone, Debug)]
pub struct SqlArguments {
    /// Where the cluster lives.
    #[command(flatten)]
    pub dir: DirArguments,
    /// The host of a proxy that is not local
    #[arg(long, env = "SHARDLINE_HOST", value_name = "HOST")]
    pub host: Option<String>,
    /// The proxy's port [default: the local cluster's]
    #[arg(long, env = "SHARDLINE_SQL_PORT", value_name = "PORT")]
    pub port: Option<u16>,
    /// User name
    #[arg(short, long, env = "SHARDLINE_USER", default_value = "root", value_name = "NAME")]
    pub user: String,
    /// The password; best given by its variable
    #[arg(long, env = "SHARDLINE_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub password: Option<String>,
    /// Run this and end
    #[arg(short, long, env = "SHARDLINE_EXECUTE", value_name = "STATEMENT")]
    pub execute: Option<String>,
    /// The default database
    #[arg(env = "SHARDLINE_DATABASE")]
    pub database: Option<String>,
}

/// Certificates for the metadata service's port; all three or none.
#[derive(Args, Clone, Debug, Default)]
pub struct MetaTlsArguments {
    /// Certificates of the authority that nodes and clients are signed by (PEM)
    #[arg(long, env = "SHARDLINE_META_TLS_CA", value_name = "FILE", requires_all = ["meta_tls_cert", "meta_tls_key"])]
    pub meta_tls_ca: Option<PathBuf>,
    /// This process's certificate (PEM)
    #[arg(long, env = "SHARDLINE_META_TLS_CERT", value_name = "FILE", requires = "meta_tls_ca")]
    pub meta_tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, env = "SHARDLINE_META_TLS_KEY", value_name = "FILE", requires = "meta_tls_ca")]
    pub meta_tls_key: Option<PathBuf>,
}

impl MetaTlsArguments {
    /// The files, when given.
    pub fn files(&self) -> Option<TlsFiles> {
        let (authority, certificate, key) =
            (self.meta_tls_ca.clone()?, self.meta_tls_cert.clone()?, self.meta_tls_key.clone()?);
        Some(TlsFiles { authority, certificate, key })
    }
}

/// The HTTP port of a process.
#[derive(Args, Clone, Debug, Default)]
pub struct AdminArguments {
    /// Where health checks, metrics and the API are served; beyond the loopback with a certificate alone
    #[arg(long, env = "SHARDLINE_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<SocketAddr>,
    /// Certificate chain of that port (PEM)
    #[arg(long, env = "SHARDLINE_ADMIN_TLS_CERT", value_name = "FILE", requires = "admin_tls_key")]
    pub admin_tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, env = "SHARDLINE_ADMIN_TLS_KEY", value_name = "FILE", requires = "admin_tls_cert")]
    pub admin_tls_key: Option<PathBuf>,
}

impl AdminArguments {
    /// What is wanted, if a port is.
    pub fn wanted(&self, token_file: Option<&PathBuf>) -> Option<Admin> {
        let tls = match (&self.admin_tls_cert, &self.admin_tls_key) {
            (Some(certificate), Some(key)) => {
                Some(AdminTls { certificate: certificate.clone(), key: key.clone() })
            }
            (Some(_) | None, _) => None,
        };
        Some(Admin { listen: self.admin_listen?, tls, token_file: token_file.cloned() })
    }
}

/// `shardline meta`.
#[derive(Args, Clone, Debug)]
pub struct MetaArguments {
    /// This node's number, unique in the cluster and never reused
    #[arg(long, env = "SHARDLINE_NODE_ID", value_name = "N")]
    pub node_id: u64,
    /// Where this node listens
    #[arg(
        long,
        env = "SHARDLINE_META_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:4390"
    )]
    pub listen: SocketAddr,
    /// All first nodes: N=HOST:PORT, separated by commas [default: this node alone]
    #[arg(long, env = "SHARDLINE_PEERS", value_name = "NODES", value_delimiter = ',')]
    pub peers: Vec<String>,
    /// Where this node keeps its log and snapshots
    #[arg(long, env = "SHARDLINE_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Write the first catalog of a new cluster from this cluster.yaml; does nothing later
    #[arg(long, env = "SHARDLINE_BOOTSTRAP", value_name = "FILE")]
    pub bootstrap: Option<PathBuf>,
    /// The HTTP port.
    #[command(flatten)]
    pub admin: AdminArguments,
    /// Mutual TLS; required beyond the loopback.
    #[command(flatten)]
    pub tls: MetaTlsArguments,
    /// Logs.
    #[command(flatten)]
    pub log: LogArguments,
}

/// `shardline proxy`.
#[derive(Args, Clone, Debug)]
pub struct ProxyArguments {
    /// Metadata nodes: HOST:PORT, separated by commas
    #[arg(
        long,
        env = "SHARDLINE_META",
        value_name = "ADDRESSES",
        value_delimiter = ',',
        required = true
    )]
    pub meta: Vec<String>,
    /// Where MySQL clients connect
    #[arg(
        long,
        env = "SHARDLINE_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:4306"
    )]
    pub listen: SocketAddr,
    /// User name on the shards' servers
    #[arg(long, env = "SHARDLINE_BACKEND_USER", value_name = "NAME", default_value = crate::local::Account::USER)]
    pub backend_user: String,
    /// File with that user's password
    #[arg(long, env = "SHARDLINE_BACKEND_PASSWORD_FILE", value_name = "FILE")]
    pub backend_password_file: Option<PathBuf>,
    /// Certificate chain for clients (PEM) [default: a self-signed one is made]
    #[arg(long, env = "SHARDLINE_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, env = "SHARDLINE_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Threads that serve sessions [default: half of the processors, at least one]
    #[arg(long, value_name = "N", env = "SHARDLINE_WORKERS",
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// A cluster.yaml whose limits are used
    #[arg(long, env = "SHARDLINE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Version told to clients [default: that of this program's MariaDB level]
    #[arg(long, env = "SHARDLINE_SERVER_VERSION", value_name = "VERSION")]
    pub server_version: Option<String>,
    /// The HTTP port.
    #[command(flatten)]
    pub admin: AdminArguments,
    /// File with a token that may do everything; made when it is not there
    #[arg(long, env = "SHARDLINE_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// Mutual TLS towards the metadata service.
    #[command(flatten)]
    pub tls: MetaTlsArguments,
    /// Logs.
    #[command(flatten)]
    pub log: LogArguments,
}

/// `shardline completion`.
#[derive(Args, Clone, Debug)]
pub struct CompletionArguments {
    /// The shell
    #[arg(env = "SHARDLINE_SHELL")]
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable() {
        for verb in Cli::command().get_subcommands() {
            for argument in verb.get_arguments() {
                let variable = argument.get_env().and_then(|name| name.to_str());
                let good = variable.is_some_and(|name| name.starts_with("SHARDLINE_"));
                assert!(good, "{} {}", verb.get_name(), argument.get_id());
            }
        }
    }

    #[test]
    fn lists_and_defaults() {
        let cli = Cli::try_parse_from(["shardline", "proxy", "--meta", "a:1,b:2"]).expect("good");
        let Verb::Proxy(proxy) = cli.verb else { panic!("proxy") };
        assert_eq!(proxy.meta, ["a:1", "b:2"]);
        assert_eq!(proxy.listen.port(), 4306);
        assert!(Cli::try_parse_from(["shardline", "up", "--load"]).is_err());
    }
}
