//! A light, endless load on the demo's bank: payments of random customers, each one
//! transaction on one shard, and now and then a report over all shards.

use super::schema::CUSTOMERS;
use mysql_async::{Conn, Opts, TxOpts, prelude::Queryable};
use shardline_base::{BackoffConfig, Shutdown};
use std::time::Duration;

/// A pause between two payments of one client.
const PAUSE: Duration = Duration::from_millis(40);
/// One report for so many payments.
const PAYMENTS_PER_REPORT: u64 = 50;
const RECONNECT: BackoffConfig = BackoffConfig { first_ms: 200, longest_ms: 5_000 };

/// Runs one client until told to stop; it comes back after every error.
pub async fn run(options: Opts, client: u64, shutdown: Shutdown) {
    let mut pauses = RECONNECT.build();
    let mut round = client;
    while !shutdown.is_triggered() {
        match pay(&options, &mut round, &shutdown).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(client, %error, "load client lost its connection"),
        }
        if shutdown.or(tokio::time::sleep(pauses.next_delay())).await.is_none() {
            return;
        }
    }
}

async fn pay(options: &Opts, round: &mut u64, shutdown: &Shutdown) -> mysql_async::Result<()> {
    let mut connection = Conn::new(options.clone()).await?;
    while shutdown.or(tokio::time::sleep(PAUSE)).await.is_some() {
        *round =
            round.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let customer = (*round >> 33) % u64::from(CUSTOMERS) + 1;
        let cents = (*round >> 20) % 10_000;
        let amount = format!("{}.{:02}", cents / 100, cents % 100);
        let mut payment = connection.start_transaction(TxOpts::default()).await?;
        payment
            .exec_drop(
                "UPDATE account SET balance = balance - ? WHERE customer_id = ?",
                (&amount, customer),
            )
            .await?;
        payment
            .exec_drop(
                "INSERT INTO txn (customer_id, kind, amount, booked_at) VALUES (?, 'transfer', ?, NOW())",
                (customer, &amount),
            )
            .await?;
        payment.commit().await?;
        if (*round >> 40).is_multiple_of(PAYMENTS_PER_REPORT) {
            connection
                .query_drop("SELECT branch_id, SUM(balance) FROM account GROUP BY branch_id")
                .await?;
        }
    }
    connection.disconnect().await
}
