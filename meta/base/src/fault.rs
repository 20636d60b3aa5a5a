//! Named points where a test build crashes, pauses or fails on purpose, as an environment variable says.
//! Only there with the feature `fault-points`.
//!
//! `"settle.before_end=crash,commit.before_decide=pause:3000@2,scan=error@1"`: a point crashes the process,
//! waits so many milliseconds, or fails its step; `@n` means only the n-th time that the process comes to
//! it, and without it every time. A point that is at several places is also named `settle.before_end/2`
//! for the place 2 alone.

use std::{
    io::Write,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Crash,
    Pause(Duration),
    Error,
}

#[derive(Debug)]
struct Point {
    name: String,
    place: Option<u32>,
    action: Action,
    only: Option<u64>,
    arrivals: AtomicU64,
}

/// What is to happen at which points.
#[derive(Debug, Default)]
pub struct FaultPlan(Vec<Point>);

impl FaultPlan {
    /// What the environment asks for; a variable that cannot be read is logged, and asks for nothing.
    pub fn of_environment(variable: &'static str) -> Self {
        let text = std::env::var(variable).unwrap_or_default();
        Self::parse(&text).unwrap_or_else(|part| {
            tracing::error!(variable, part, "this cannot be read: no fault point is set");
            Self::default()
        })
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// The part that cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let point = |part: &str| Point::parse(part).ok_or_else(|| part.to_owned());
        parts.map(point).collect::<Result<_, _>>().map(Self)
    }

    /// The process is at a point: it may end here, or this may take a while. False: the step is to fail.
    pub async fn arrive(&self, name: &'static str, place: u32) -> bool {
        match self.action(name, place) {
            None => true,
            Some(Action::Crash) => crash(name, place),
            Some(Action::Pause(time)) => {
                tracing::warn!(name, place, ?time, "pausing at a fault point");
                tokio::time::sleep(time).await;
                true
            }
            Some(Action::Error) => {
                tracing::warn!(name, place, "failing at a fault point");
                false
            }
        }
    }

    fn action(&self, name: &str, place: u32) -> Option<Action> {
        let here =
            |point: &&Point| point.name == name && point.place.is_none_or(|wanted| wanted == place);
        // Every entry counts every arrival.
        self.0.iter().filter(here).filter_map(Point::arrive).last()
    }
}

impl Point {
    fn parse(part: &str) -> Option<Self> {
        let (name, what) = part.split_once('=')?;
        let (name, place) = match name.split_once('/') {
            Some((name, place)) => (name, Some(place.parse().ok()?)),
            None => (name, None),
        };
        let (what, only) = match what.split_once('@') {
            Some((what, only)) => (what, Some(only.parse().ok().filter(|nth| *nth > 0)?)),
            None => (what, None),
        };
        let action = match what.split_once(':') {
            Some(("pause", time)) => Action::Pause(Duration::from_millis(time.parse().ok()?)),
            None if what == "crash" => Action::Crash,
            None if what == "error" => Action::Error,
            Some(_) | None => return None,
        };
        let arrivals = AtomicU64::new(0);
        Some(Self { name: name.to_owned(), place, action, only, arrivals })
    }

    fn arrive(&self) -> Option<Action> {
        let arrival = self.arrivals.fetch_add(1, Ordering::Relaxed) + 1;
        self.only.is_none_or(|only| only == arrival).then_some(self.action)
    }
}

/// Dies as by kill -9: no destructor, no goodbye to any server.
fn crash(name: &str, place: u32) -> ! {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "crash at fault point {name} of {place}");
    let _ = out.flush();
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_count_their_arrivals() {
        let plan = FaultPlan::parse("a=pause:20@2, b/3=error,").expect("a plan");
        assert_eq!(plan.action("a", 1), None);
        assert_eq!(plan.action("a", 2), Some(Action::Pause(Duration::from_millis(20))));
        assert_eq!(plan.action("a", 1), None);
        assert_eq!(plan.action("b", 1), None);
        assert_eq!(plan.action("b", 3), Some(Action::Error));
        assert_eq!(plan.action("b", 3), Some(Action::Error));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for text in ["a", "a=stop", "a=pause", "a=pause:x", "a=crash@0", "a/x=crash"] {
            assert_eq!(FaultPlan::parse(&format!("b=crash,{text}")).err().as_deref(), Some(text));
        }
    }
}
