//! Named points where a test build pauses, fails or crashes: `SHARDLINE_MOVE_FAULTS`, read once, or what a
//! test sets. Without the feature `fault-points` a point is nothing at all.
//!
//! `SHARDLINE_MOVE_FAULTS="copy.read=crash,lane.commit=pause:3000@2,stream.next=error@5"`: `@n` means only
//! the n-th time that the process comes to the point, and without it every time.

use crate::error::MoveError;

/// A point.
///
/// # Errors
/// When somebody asks for one here.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub(crate) async fn point(_name: &'static str) -> Result<(), MoveError> {
    Ok(())
}

/// A point.
///
/// # Errors
/// When somebody asks for one here.
#[cfg(feature = "fault-points")]
pub(crate) async fn point(name: &'static str) -> Result<(), MoveError> {
    let action = points::PLAN.lock().arrive(name);
    match action {
        None => Ok(()),
        Some(points::Action::Crash) => {
            eprintln!("crash at fault point {name}");
            std::process::abort()
        }
        Some(points::Action::Pause(time)) => {
            tokio::time::sleep(time).await;
            Ok(())
        }
        Some(points::Action::Error) => Err(MoveError::Fault(name)),
    }
}

/// Sets the faults of this process; what cannot be read is the error.
///
/// # Errors
/// A part that is no fault.
#[cfg(feature = "fault-points")]
pub fn set(text: &str) -> Result<(), String> {
    *points::PLAN.lock() = points::Plan::parse(text)?;
    Ok(())
}

#[cfg(feature = "fault-points")]
mod points {
    use parking_lot::Mutex;
    use std::{sync::LazyLock, time::Duration};

    pub(super) static PLAN: LazyLock<Mutex<Plan>> = LazyLock::new(|| {
        let text = std::env::var("SHARDLINE_MOVE_FAULTS").unwrap_or_default();
        Mutex::new(Plan::parse(&text).unwrap_or_else(|part| {
            tracing::error!(part, "SHARDLINE_MOVE_FAULTS cannot be read: no fault point is set");
            Plan::default()
        }))
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
        action: Action,
        only: Option<u64>,
        arrivals: u64,
    }

    #[derive(Debug, Default)]
    pub(super) struct Plan(Vec<Point>);

    impl Plan {
        pub(super) fn parse(text: &str) -> Result<Self, String> {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts
                .map(|part| Point::parse(part).ok_or_else(|| part.to_owned()))
                .collect::<Result<_, _>>()
                .map(Self)
        }

        pub(super) fn arrive(&mut self, name: &str) -> Option<Action> {
            let here = self.0.iter_mut().filter(|point| point.name == name);
            here.filter_map(Point::arrive).last()
        }
    }

    impl Point {
        fn parse(part: &str) -> Option<Self> {
            let (name, what) = part.split_once('=')?;
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
            Some(Self { name: name.to_owned(), action, only, arrivals: 0 })
        }

        fn arrive(&mut self) -> Option<Action> {
            self.arrivals += 1;
            self.only.is_none_or(|only| only == self.arrivals).then_some(self.action)
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn points_count_their_arrivals() {
            let mut plan = Plan::parse("a=error@2, b=pause:5").expect("a plan");
            assert_eq!((plan.arrive("a"), plan.arrive("a")), (None, Some(Action::Error)));
            assert_eq!(plan.arrive("b"), Some(Action::Pause(Duration::from_millis(5))));
            assert!(Plan::parse("a=stop").is_err());
        }
    }
}
