//! The mariadb command-line client, fed with a script as from a terminal or a dump.

use crate::{PASSWORD, Target, USER};
use anyhow::{Context, Result, ensure};
use std::process::{Output, Stdio};
use tokio::{io::AsyncWriteExt, process::Command};

fn client(target: &Target) -> Command {
    let mut command = Command::new("mariadb");
    command
        .args(["--no-defaults", "--batch", "--skip-column-names", "--protocol=tcp"])
        .arg("--host=127.0.0.1")
        .arg(format!("--port={}", target.port))
        .arg(format!("--user={USER}"))
        .env("MYSQL_PWD", PASSWORD)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    match &target.authority {
        Some(path) => {
            command.arg(format!("--ssl-ca={}", path.display())).arg("--ssl-verify-server-cert");
        }
        None => {
            command.arg("--skip-ssl");
        }
    }
    command.arg(&target.database);
    command
}

async fn script(target: &Target, text: &str) -> Result<Output> {
    let mut child = client(target).spawn().context("starting mariadb")?;
    let mut input = child.stdin.take().context("its input")?;
    input.write_all(text.as_bytes()).await?;
    drop(input);
    Ok(child.wait_with_output().await?)
}

/// Runs a script that must succeed and gives what it printed, tabs as spaces.
async fn good(target: &Target, text: &str) -> Result<String> {
    let output = script(target, text).await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {errors}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().replace('\t', " "))
}

/// Runs a statement that must fail and checks what the client says.
async fn bad(target: &Target, statement: &str, expected: &str) -> Result<()> {
    let output = script(target, statement).await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && errors.contains(expected), "{statement}: {errors}");
    Ok(())
}

/// All steps.
pub(super) async fn drive(target: &Target) -> Result<()> {
    good(target, SCHEMA).await?;
    good(target, &rows()).await?;
    let cases = [
        ("SELECT name, amount FROM t_hash WHERE id = 42", "name 42 42.50"),
        ("SELECT id FROM t_hash ORDER BY id DESC LIMIT 3", "90\n89\n88"),
        ("SELECT COUNT(*), SUM(amount) FROM t_hash", "90 4140.00"),
        (
            "SELECT region, COUNT(*) FROM t_list GROUP BY region ORDER BY region",
            "north 30\nsouth 30\nwest 30",
        ),
        (
            "BEGIN; UPDATE t_hash SET amount = amount + 1 WHERE id = 7; COMMIT;\n\
             BEGIN; DELETE FROM t_hash WHERE id = 7; ROLLBACK;\n\
             SELECT amount FROM t_hash WHERE id = 7;",
            "8.50",
        ),
        (
            "PREPARE one FROM 'SELECT name FROM t_hash WHERE id = ?'; SET @id = 42;\n\
             EXECUTE one USING @id;\n\
             PREPARE many FROM 'SELECT COUNT(*) FROM t_hash WHERE amount > ?';\n\
             EXECUTE many USING 80; DEALLOCATE PREPARE one;",
            "name 42\n11",
        ),
    ];
    for (statement, wanted) in cases {
        let printed = good(target, statement).await.with_context(|| statement.to_owned())?;
        ensure!(printed == wanted, "{statement}: {printed:?}");
    }
    bad(target, "EXECUTE gone;", "ERROR 1243").await?;
    bad(target, "INSERT INTO t_hash (id, name) VALUES (1, 'again');", "ERROR 1062").await?;
    bad(target, "SELECT * FROM t_missing;", "ERROR 1146").await
}

const SCHEMA: &str = "\
CREATE TABLE t_hash (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40), amount DECIMAL(10,2))
  SHARD BY HASH (id);
CREATE TABLE t_range (id INT NOT NULL, day DATE NOT NULL, PRIMARY KEY (id, day)) SHARD BY RANGE (day)
  (VALUES LESS THAN ('2025-01-01') ON s1, VALUES LESS THAN ('2026-01-01') ON s2,
   VALUES LESS THAN (MAXVALUE) ON s3);
CREATE TABLE t_list (region VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  id INT NOT NULL, PRIMARY KEY (region, id)) SHARD BY LIST (region)
  (VALUES IN ('north') ON s1, VALUES IN ('south') ON s2, DEFAULT ON s3);
";

fn rows() -> String {
    let mut text = String::new();
    for id in 1..=90 {
        text.push_str(&format!("INSERT INTO t_hash VALUES ({id}, 'name {id}', {id}.50);\n"));
    }
    for id in (1..=90).step_by(3) {
        let (second, third) = (id + 1, id + 2);
        text.push_str(&format!(
            "INSERT INTO t_range VALUES ({id}, '2024-06-01'), ({second}, '2025-06-01'), \
             ({third}, '2026-06-01');\n\
             INSERT INTO t_list VALUES ('north', {id}), ('south', {second}), ('west', {third});\n"
        ));
    }
    text
}
