//! Named points where a test build pauses, fails or crashes: `SHARDLINE_MOVE_FAULTS`, read once, or what a
//! test sets, as `shardline_base::FaultPlan` says. Without the feature `fault-points` a point is nothing at all.

use crate::error::MoveError;
#[cfg(feature = "fault-points")]
use {
    parking_lot::RwLock,
    shardline_base::FaultPlan,
    std::sync::{Arc, LazyLock},
};

#[cfg(feature = "fault-points")]
static PLAN: LazyLock<RwLock<Arc<FaultPlan>>> =
    LazyLock::new(|| RwLock::new(Arc::new(FaultPlan::of_environment("SHARDLINE_MOVE_FAULTS"))));

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
    let plan = PLAN.read().clone();
    if plan.arrive(name, 0).await { Ok(()) } else { Err(MoveError::Fault(name)) }
}

/// Sets the faults of this process; what cannot be read is the error.
///
/// # Errors
/// A part that is no fault.
#[cfg(feature = "fault-points")]
pub fn set(text: &str) -> Result<(), String> {
    *PLAN.write() = Arc::new(FaultPlan::parse(text)?);
    Ok(())
}
