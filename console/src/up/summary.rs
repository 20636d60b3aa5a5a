//! What a person reads when the cluster is ready: every line can be pasted.

use super::folder::{Folder, RunState};

/// The lines to paste.
pub fn lines(folder: &Folder, run: &RunState, link: Option<&str>) -> String {
    let dir = folder.root().display();
    let RunState { sql_port, console_port, pid, .. } = run;
    let database = if run.demo { " bank" } else { "" };
    let shards = run.shards.len();
    let mut text = format!("{}\n", run.headline).trim_start().to_owned();
    let console = match link {
        Some(link) => format!("http://127.0.0.1:{console_port}/?login={link}"),
        None => format!("shardline console --dir {dir}        (prints a link that logs you in)"),
    };
    text.push_str(&format!(
        "SQL      mariadb -h 127.0.0.1 -P {sql_port} -u root{database}        (or: shardline sql --dir {dir}{database})\n\
         Console  {console}\n\
         Health   curl http://127.0.0.1:{console_port}/readyz        (metrics: /metrics)\n\
         Status   shardline status --dir {dir}\n"
    ));
    if run.demo {
        text.push_str(&format!(
            "Try      SELECT branch_id, SUM(balance) FROM account GROUP BY branch_id;      -- runs on {shards} shards\n         \
             EXPLAIN SHARDING SELECT * FROM account WHERE customer_id = 42;       -- 1 shard\n         \
             SHOW CREATE TABLE txn;                                               -- how it is spread\n         \
             shardline shard add s4 --local --dir {dir} && shardline rebalance start --all --dir {dir}      -- grow\n"
        ));
    } else {
        text.push_str(
            "Try      CREATE DATABASE shop; USE shop;\n         \
             CREATE TABLE orders (customer_id BIGINT NOT NULL, amount INT) SHARD BY HASH (customer_id);\n         \
             SHOW SHARDS;\n",
        );
    }
    text.push_str(&format!(
        "Data in {dir} · pid {pid} · stop: shardline down --dir {dir} (data kept) · remove: shardline down --purge --dir {dir}"
    ));
    text
}
