//! `shardline job`, and how a job is watched: a bar on a terminal, lines otherwise. Ctrl-C ends the
//! watching, never the job.

use super::{
    arguments::Output,
    operator_arguments::{JobVerbArguments, WaitArguments},
    shard::client,
    show::{self, table},
};
use crate::{
    api::client::ApiClient,
    exit::{Failure, Reason},
    operations::{EventView, JobView, view::Listing},
};
use serde::Serialize;
use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(300);
/// Between two lines where there is no terminal.
const LINE_PAUSE: Duration = Duration::from_secs(10);
/// Signs of the bar.
const BAR: usize = 24;
/// Looks in a row that may fail.
const FAILURES_MAX: u32 = 20;

/// Runs one verb.
pub(super) async fn run(verb: &JobVerbArguments) -> Result<(), Failure> {
    match verb {
        JobVerbArguments::List(arguments) => {
            let all: Listing<JobView> = client(arguments)?.get("/api/v1/jobs").await?;
            match arguments.output {
                Output::Json => print_json(&all),
                Output::Table => {
                    list(&all.items);
                    Ok(())
                }
            }
        }
        JobVerbArguments::Show(arguments) => {
            print(&find(&client(&arguments.api)?, arguments.id).await?, arguments.api.output)
        }
        JobVerbArguments::Wait(arguments) => {
            let wait = WaitArguments { no_wait: false, timeout_s: arguments.timeout_s };
            watch(&client(&arguments.api)?, arguments.id, wait, arguments.api.output).await
        }
        JobVerbArguments::Logs(arguments) => {
            let path = format!("/api/v1/jobs/{}/events", arguments.id);
            let all: Listing<EventView> = client(&arguments.api)?.get(&path).await?;
            match arguments.api.output {
                Output::Json => print_json(&all),
                Output::Table => {
                    for event in &all.items {
                        println!("{} {}", moment(event.unix_s), event.text);
                    }
                    Ok(())
                }
            }
        }
    }
}

/// One job.
pub(super) async fn find(api: &ApiClient, id: u64) -> Result<JobView, Failure> {
    api.get(&format!("/api/v1/jobs/{id}")).await
}

/// Prints a job.
pub(super) fn print(job: &JobView, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => print_json(job),
        Output::Table => {
            show::job(job);
            Ok(())
        }
    }
}

/// Prints a value as JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::new(Reason::Failed, error))?;
    println!("{text}");
    Ok(())
}

/// Shows a job until it stands still: it is over, has failed, is paused, or a person has to decide.
pub(super) async fn watch(
    api: &ApiClient,
    id: u64,
    wait: WaitArguments,
    output: Output,
) -> Result<(), Failure> {
    if wait.no_wait {
        let job = find(api, id).await?;
        if output == Output::Json {
            return print_json(&job);
        }
        println!("job {id} has begun: {} · shardline rebalance watch {id}", job.summary);
        return Ok(());
    }
    let interrupt = tokio::signal::ctrl_c();
    let watched = tokio::select! {
        watched = until_still(api, id, wait.timeout_s) => watched,
        _ = interrupt => {
            eprintln!();
            return Err(Failure::new(
                Reason::Detached,
                format!("job {id} keeps running"),
            )
            .hint(format!("shardline job wait {id}")));
        }
    };
    let job = watched?;
    print(&job, output)?;
    match job.phase.as_str() {
        "failed" => {
            let why = job.last_error.as_deref().unwrap_or("see its log");
            Err(Failure::new(Reason::Failed, format!("job {id} has failed: {why}"))
                .hint(job.next_steps.join(" · ")))
        }
        _ => Ok(()),
    }
}

async fn until_still(api: &ApiClient, id: u64, timeout_s: Option<u64>) -> Result<JobView, Failure> {
    let (begun, terminal) = (Instant::now(), std::io::stderr().is_terminal());
    let (mut told, mut failures) = (None::<Instant>, 0);
    let mut phase = String::new();
    loop {
        let job = match find(api, id).await {
            Ok(job) => job,
            // The process may be starting again.
            Err(failure) if failure.reason == Reason::Unavailable && failures < FAILURES_MAX => {
                failures += 1;
                tokio::time::sleep(LOOK_PAUSE * failures).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        failures = 0;
        let still = is_still(&job);
        if terminal {
            bar(&job);
        } else if still
            || phase != job.phase
            || told.is_none_or(|told| told.elapsed() >= LINE_PAUSE)
        {
            eprintln!("job {id}: {}", show::progress(&job));
            (told, phase) = (Some(Instant::now()), job.phase.clone());
        }
        if still {
            if terminal {
                eprintln!();
            }
            return Ok(job);
        }
        if timeout_s.is_some_and(|limit| begun.elapsed() >= Duration::from_secs(limit)) {
            return Err(Failure::new(
                Reason::TimedOut,
                format!(
                    "job {id} is {} after {} s; it keeps running",
                    job.phase,
                    begun.elapsed().as_secs()
                ),
            )
            .hint(format!("shardline job wait {id}")));
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// Whether nothing more happens without a person.
fn is_still(job: &JobView) -> bool {
    let goes_on = match job.phase.as_str() {
        "ready" => job.wish != "ready",
        "watching" => job.wish != "moved",
        "paused" => job.wish != "paused",
        phase => phase != "failed",
    };
    job.is_over || !goes_on
}

fn bar(job: &JobView) {
    let done = (job.percent / 100.0 * BAR as f64) as usize;
    let bar = format!("{}{}", "█".repeat(done.min(BAR)), "░".repeat(BAR.saturating_sub(done)));
    let (colour, plain) = match std::env::var_os("NO_COLOR") {
        None => ("\x1b[36m", "\x1b[0m"),
        Some(_) => ("", ""),
    };
    eprint!("\r\x1b[2K{colour}{bar}{plain} {}", show::progress(job));
    std::io::stderr().flush().ok();
}

fn list(jobs: &[JobView]) {
    let mut table = table(&["JOB", "WHAT", "PHASE", "DONE", "ROWS", "LONGEST PAUSE", "LAST ERROR"]);
    for job in jobs {
        let pause = job.pause_ms.map_or_else(|| "-".to_owned(), |pause| format!("{pause} ms"));
        table.add_row([
            job.id.to_string(),
            job.summary.clone(),
            job.phase.clone(),
            format!("{:.0} %", job.percent),
            show::count(job.rows_copied),
            pause,
            job.last_error.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    println!("{table}");
}

/// A moment as UTC.
pub(super) fn moment(unix_s: u64) -> String {
    let (days, second) = (unix_s / 86_400, unix_s % 86_400);
    // Civil from days (H. Hinnant): years begin in March.
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) =
        (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + u64::from(month <= 2);
    format!(
        "{year}-{month:02}-{day:02} {:02}:{:02}:{:02}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_utc() {
        assert_eq!(moment(0), "1970-01-01 00:00:00Z");
        assert_eq!(moment(951_782_399), "2000-02-28 23:59:59Z");
        assert_eq!(moment(1_795_219_200), "2026-11-21 00:00:00Z");
    }

    #[test]
    fn a_job_stands_still_where_a_person_decides() {
        let job = |phase: &str, wish: &str| JobView {
            phase: phase.into(),
            wish: wish.into(),
            ..JobView::default()
        };
        assert!(is_still(&job("watching", "moved")));
        assert!(!is_still(&job("watching", "finished")));
        assert!(is_still(&job("failed", "moved")));
        assert!(!is_still(&job("copying", "moved")));
        assert!(is_still(&JobView { is_over: true, ..job("cancelled", "cancelled") }));
    }
}
