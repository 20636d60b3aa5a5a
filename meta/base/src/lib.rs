//! Tasks, shutdown, backoff, clock and telemetry; no domain.
//!
//! Every long-lived part of Shardline is `Config -> build() -> run(self, shutdown)`. This
//! crate holds what those parts share: how they are told to stop ([`Shutdown`]), how they
//! start tasks and wait for them ([`Tasks`]), how they wait between attempts ([`Backoff`]),
//! where they read the time ([`Clock`]) and where logs and metrics go ([`Telemetry`]). Test builds also
//! have named points where they fail on purpose.

mod backoff;
mod clock;
#[cfg(feature = "fault-points")]
mod fault;
mod shutdown;
mod tasks;
mod telemetry;

pub use backoff::{Backoff, BackoffConfig};
pub use clock::{Clock, ManualClock, SystemClock};
#[cfg(feature = "fault-points")]
pub use fault::FaultPlan;
pub use shutdown::Shutdown;
pub use tasks::{Policy, Tasks};
pub use telemetry::{LogFormat, Telemetry, TelemetryConfig, TelemetryError};
