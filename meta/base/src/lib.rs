//! Tasks, shutdown, backoff, clock and telemetry; no domain.
