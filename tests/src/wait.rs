//! Bounded waits on states.

use anyhow::{Result, bail};
use std::{
    future::Future,
    time::{Duration, Instant},
};

const POLL: Duration = Duration::from_millis(20);

/// A reason to stop waiting: the state will never come.
#[derive(Debug)]
pub struct Hopeless(pub String);

impl std::fmt::Display for Hopeless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Hopeless {}

/// Asks until there is an answer, at most for `limit`. `probe` says why there is none
/// yet, or that there will be none ([`Hopeless`]).
pub async fn until<T, F>(what: &str, limit: Duration, mut probe: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let deadline = Instant::now() + limit;
    loop {
        let remaining = deadline.saturating_duration_since(Instant::now());
        let last = match tokio::time::timeout(remaining.max(POLL), probe()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if error.is::<Hopeless>() => bail!("{what}: {error:#}"),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "no answer".to_owned(),
        };
        if Instant::now() >= deadline {
            bail!("{what}: not within {} s: {last}", limit.as_secs_f32());
        }
        tokio::time::sleep(POLL).await;
    }
}
