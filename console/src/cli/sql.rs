//! `shardline sql`: the installed mariadb or mysql client on a cluster or, where there is
//! none, a plain prompt of our own.

use super::arguments::SqlArguments;
use crate::{
    exit::{Failure, Reason, chain},
    up::folder::Folder,
};
use mysql_async::{Conn, OptsBuilder, Row, Value, prelude::Queryable};
use std::{
    io::{BufRead, IsTerminal, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::Command,
};

const CLIENTS: [&str; 2] = ["mariadb", "mysql"];

struct Target {
    host: String,
    port: u16,
}

/// Opens the prompt or runs one statement.
pub(super) fn run(arguments: &SqlArguments) -> Result<(), Failure> {
    let target = target(arguments)?;
    if let Some(client) = installed_client() {
        return Err(become_client(&client, &target, arguments));
    }
    super::runtime("sql", 1)?.block_on(plain_prompt(&target, arguments))
}

fn target(arguments: &SqlArguments) -> Result<Target, Failure> {
    if arguments.host.is_some() || arguments.port.is_some() {
        let host = arguments.host.clone().unwrap_or_else(|| "127.0.0.1".to_owned());
        return Ok(Target { host, port: arguments.port.unwrap_or(4306) });
    }
    let dir = &arguments.dir.dir;
    let running = match Folder::open(dir)? {
        Some(folder) if folder.lock()?.is_none() => folder.run_state()?,
        _ => None,
    };
    let run = running.ok_or_else(|| {
        Failure::new(Reason::Unavailable, format!("no cluster is running in {}", dir.display()))
            .hint("start one: shardline up; or name another with --dir or --host and --port")
    })?;
    Ok(Target { host: "127.0.0.1".to_owned(), port: run.sql_port })
}

fn installed_client() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    CLIENTS
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
}

/// Becomes the client; returns only when that failed.
fn become_client(client: &PathBuf, target: &Target, arguments: &SqlArguments) -> Failure {
    let mut command = Command::new(client);
    command
        .arg(format!("--host={}", target.host))
        .arg(format!("--port={}", target.port))
        .arg("--protocol=tcp")
        .arg(format!("--user={}", arguments.user));
    if let Some(password) = &arguments.password {
        // Other users can read a process's arguments, not its environment.
        command.env("MYSQL_PWD", password);
    }
    if let Some(statement) = &arguments.execute {
        command.arg(format!("--execute={statement}"));
        if std::io::stdout().is_terminal() {
            command.arg("--table");
        }
    }
    command.args(&arguments.database);
    let error = command.exec();
    Failure::new(Reason::Failed, format!("cannot run {}: {error}", client.display()))
}

async fn plain_prompt(target: &Target, arguments: &SqlArguments) -> Result<(), Failure> {
    let options = OptsBuilder::default()
        .ip_or_hostname(&target.host)
        .tcp_port(target.port)
        .prefer_socket(false)
        .user(Some(&arguments.user))
        .pass(arguments.password.as_ref())
        .db_name(arguments.database.as_ref());
    let mut connection = Conn::new(options).await.map_err(|error| {
        let place = format!("{}:{}", target.host, target.port);
        Failure::new(Reason::Unavailable, format!("cannot connect to {place}: {}", chain(&error)))
    })?;
    if let Some(statement) = &arguments.execute {
        return print_results(&mut connection, statement).await.map_err(statement_failure);
    }
    let mut text = String::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| Failure::new(Reason::Failed, error))?;
        text.push_str(&line);
        text.push('\n');
        if line.trim_end().ends_with(';') {
            if let Err(error) = print_results(&mut connection, text.trim()).await {
                eprintln!("{}", chain(&error));
            }
            text.clear();
        }
    }
    if text.trim().is_empty() {
        return Ok(());
    }
    print_results(&mut connection, text.trim()).await.map_err(statement_failure)
}

fn statement_failure(error: mysql_async::Error) -> Failure {
    Failure::new(Reason::Failed, chain(&error))
}

async fn print_results(connection: &mut Conn, statement: &str) -> mysql_async::Result<()> {
    let mut result = connection.query_iter(statement).await?;
    while let Some(columns) = result.columns() {
        let mut table = comfy_table::Table::new();
        table.set_header(columns.iter().map(|column| column.name_str().into_owned()));
        let rows: Vec<Row> = result.collect().await?;
        let count = rows.len();
        for row in rows {
            table.add_row(row.unwrap().iter().map(cell));
        }
        if columns.is_empty() {
            println!("OK, {} rows changed", result.affected_rows());
        } else {
            println!("{table}\n{count} rows");
        }
        if result.is_empty() {
            break;
        }
    }
    std::io::stdout().flush()?;
    Ok(())
}

fn cell(value: &Value) -> String {
    match value {
        Value::NULL => "NULL".to_owned(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => other.as_sql(true),
    }
}
