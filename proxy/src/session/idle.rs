//! How long a session has been idle. A busy session sets no timer: the one it has is only
//! looked at, and moved when it fires too early.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};
use tokio::time::Sleep;

/// The timer of one session.
#[derive(Debug)]
pub(super) struct IdleTimer {
    since: Instant,
    /// The timer and the time after which the session ends, for which it was set.
    timer: Option<(Pin<Box<Sleep>>, Duration)>,
    /// Whom the timer wakes.
    wakes: Option<Waker>,
}

impl Default for IdleTimer {
    fn default() -> Self {
        IdleTimer { since: Instant::now(), timer: None, wakes: None }
    }
}

impl IdleTimer {
    /// The session is idle from now on.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since = now;
    }

    /// Ready when the session has been idle for `timeout`.
    pub(super) fn poll(&mut self, timeout: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if let Some((timer, set_for)) = &self.timer
            && *set_for == timeout
            && !timer.is_elapsed()
            && self.wakes.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            // It will wake this task when it fires: it need not be told again.
            return Poll::Pending;
        }
        self.wakes = Some(cx.waker().clone());
        let due = self.since + timeout;
        let (timer, set_for) = self
            .timer
            .get_or_insert_with(|| (Box::pin(tokio::time::sleep_until(due.into())), timeout));
        if *set_for != timeout {
            *set_for = timeout;
            timer.as_mut().reset(due.into());
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn fires_after_the_time_that_holds_at_the_end() {
        let started = Instant::now();
        let mut idle = IdleTimer::default();
        let long = Duration::from_secs(3_600);
        let short = Duration::from_millis(20);
        let pending = poll_fn(|cx| Poll::Ready(idle.poll(long, cx).is_pending())).await;
        assert!(pending);
        idle.begin(Instant::now() + Duration::from_millis(10));
        poll_fn(|cx| idle.poll(short, cx)).await;
        assert!(started.elapsed() >= Duration::from_millis(30));
    }
}
