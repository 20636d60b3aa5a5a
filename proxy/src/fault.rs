//! Named points where a test build crashes, pauses or fails: `SHARDLINE_FAULTS`, read once. Without
//! the feature `fault-points` a point is nothing at all.
//!
//! `SHARDLINE_FAULTS="settle.before_end=crash,commit.before_decide=pause:3000@2,scan=error@1"`: a point
//! crashes the process, waits so many milliseconds, or fails its step; `@n` means only the n-th time that
//! the process comes to it, and without it every time. A point that belongs to a shard is also named
//! `settle.before_end/2` for the shard with the number 2 alone.

#![allow(dead_code, reason = "without the feature no point ever makes a fault")]

use shardline_model::id::ShardId;

/// A step failed on purpose. Without the feature there is no value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// At a point.
    #[cfg(feature = "fault-points")]
    #[error("a fault was asked for at {0}")]
    At(&'static str),
}

/// A point of a shard.
///
/// # Errors
/// When the environment asks for one here.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub(crate) async fn point(_name: &'static str, _shard: ShardId) -> Result<(), Fault> {
    Ok(())
}

/// A point of a shard.
///
/// # Errors
/// When the environment asks for one here.
#[cfg(feature = "fault-points")]
pub(crate) async fn point(name: &'static str, shard: ShardId) -> Result<(), Fault> {
    let Some(action) = points::PLAN.arrive(name, shard) else { return Ok(()) };
    match action {
        points::Action::Crash => points::crash(name, shard),
        points::Action::Pause(time) => {
            tracing::warn!(name, %shard, ?time, "pausing at a fault point");
            tokio::time::sleep(time).await;
            Ok(())
        }
        points::Action::Error => {
            tracing::warn!(name, %shard, "failing at a fault point");
            Err(Fault::At(name))
        }
    }
}

#[cfg(feature = "fault-points")]
mod points {
    use super::ShardId;
    use std::{
        io::Write,
        sync::{
            LazyLock,
            atomic::{AtomicU64, Ordering},
        },
        time::Duration,
    };

    /// What the environment asks for.
    pub(super) static PLAN: LazyLock<Plan> = LazyLock::new(|| {
        let text = std::env::var("SHARDLINE_FAULTS").unwrap_or_default();
        Plan::parse(&text).unwrap_or_else(|part| {
            tracing::error!(part, "SHARDLINE_FAULTS cannot be read: no fault point is set");
            Plan::default()
        })
    });

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum Action {
        Crash,
        Pause(Duration),
        Error,
    }

    #[derive(Debug)]
    struct Point {
        name: String,
        shard: Option<ShardId>,
        action: Action,
        only: Option<u64>,
        arrivals: AtomicU64,
    }

    #[derive(Debug, Default)]
    pub(super) struct Plan(Vec<Point>);

    impl Plan {
        /// Reads the variable; the part that cannot be read is the error.
        pub(super) fn parse(text: &str) -> Result<Self, String> {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            let point = |part: &str| Point::parse(part).ok_or_else(|| part.to_owned());
            parts.map(point).collect::<Result<_, _>>().map(Self)
        }

        /// What is to be done at a point now.
        pub(super) fn arrive(&self, name: &str, shard: ShardId) -> Option<Action> {
            let here = |point: &&Point| {
                point.name == name && point.shard.is_none_or(|wanted| wanted == shard)
            };
            // Every entry counts every arrival.
            self.0.iter().filter(here).filter_map(Point::arrive).last()
        }
    }

    impl Point {
        fn parse(part: &str) -> Option<Self> {
            let (name, what) = part.split_once('=')?;
            let (name, shard) = match name.split_once('/') {
                Some((name, shard)) => (name, Some(ShardId(shard.parse().ok()?))),
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
            Some(Self { name: name.to_owned(), shard, action, only, arrivals })
        }

        fn arrive(&self) -> Option<Action> {
            let arrival = self.arrivals.fetch_add(1, Ordering::Relaxed) + 1;
            self.only.is_none_or(|only| only == arrival).then_some(self.action)
        }
    }

    /// Dies as by kill -9: no destructor, no goodbye to any server.
    pub(super) fn crash(name: &str, shard: ShardId) -> ! {
        let mut out = std::io::stderr().lock();
        let _ = writeln!(out, "crash at fault point {name} of {shard}");
        let _ = out.flush();
        std::process::abort()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn points_count_their_arrivals() {
            let plan = Plan::parse("a=pause:20@2, b/3=error,").expect("a plan");
            assert_eq!(plan.arrive("a", ShardId(1)), None);
            let pause = Action::Pause(Duration::from_millis(20));
            assert_eq!(plan.arrive("a", ShardId(2)), Some(pause));
            assert_eq!(plan.arrive("a", ShardId(1)), None);
            assert_eq!(plan.arrive("b", ShardId(1)), None);
            assert_eq!(plan.arrive("b", ShardId(3)), Some(Action::Error));
            assert_eq!(plan.arrive("b", ShardId(3)), Some(Action::Error));
        }

        #[test]
        fn what_cannot_be_read_is_named() {
            for text in ["a", "a=stop", "a=pause", "a=pause:x", "a=crash@0", "a/x=crash"] {
                assert_eq!(Plan::parse(&format!("b=crash,{text}")).err().as_deref(), Some(text));
            }
        }
    }
}
