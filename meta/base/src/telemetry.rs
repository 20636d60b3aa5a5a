//! Where logs and metrics of a process go: structured logs to standard output, as text or
//! JSON, and metrics in a recorder whose state is rendered as Prometheus text on demand.

use crate::Shutdown;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use std::{io::IsTerminal, str::FromStr, time::Duration};
use tracing_subscriber::{EnvFilter, filter::ParseError, util::TryInitError};

/// How often histograms are drained, so that they do not grow between two scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Upper bounds of the buckets of every histogram, in the histogram's own unit (seconds for
/// durations): fixed, so that nodes can be added up.
const BUCKETS: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line an event.
    #[default]
    Text,
    /// One JSON object an event.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("unknown log format {other:?}: use text or json")),
        }
    }
}

/// What to log and how.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// The form of a log line.
    pub format: LogFormat,
    /// Which events: a level (`info`) or directives as `RUST_LOG` has them
    /// (`info,openraft=warn`).
    pub filter: String,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info,openraft=warn".to_owned() }
    }
}

/// Why telemetry was not set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter's text is wrong.
    #[error("cannot read the log filter {filter:?}")]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// A log subscriber was installed before.
    #[error("cannot install the log subscriber")]
    Log(#[source] TryInitError),
    /// A metrics recorder was installed before, or it cannot be built.
    #[error("cannot install the metrics recorder")]
    Metrics(#[source] BuildError),
}

impl TelemetryConfig {
    /// Installs the process's log subscriber and metrics recorder: once a process, before
    /// the first metric handle is taken.
    pub fn build(self) -> Result<Telemetry, TelemetryError> {
        use tracing_subscriber::util::SubscriberInitExt;
        let filter = EnvFilter::from_str(&self.filter)
            .map_err(|source| TelemetryError::Filter { filter: self.filter.clone(), source })?;
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stdout)
            .with_ansi(std::io::stdout().is_terminal());
        match self.format {
            LogFormat::Text => lines.finish().try_init(),
            LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
        }
        .map_err(TelemetryError::Log)?;
        let metrics = PrometheusBuilder::new()
            .set_buckets(&BUCKETS)
            .map_err(TelemetryError::Metrics)?
            .install_recorder()
            .map_err(TelemetryError::Metrics)?;
        Ok(Telemetry { metrics })
    }
}

/// The installed telemetry. Clones share it.
#[derive(Clone)]
pub struct Telemetry {
    metrics: PrometheusHandle,
}

impl Telemetry {
    /// All metrics in Prometheus' text form.
    pub fn render(&self) -> String {
        self.metrics.render()
    }

    /// Keeps the recorder's memory bounded; runs until told to stop.
    pub async fn run(self, shutdown: Shutdown) {
        while shutdown.or(tokio::time::sleep(UPKEEP_INTERVAL)).await.is_some() {
            self.metrics.run_upkeep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_is_installed_once_and_renders_what_was_counted() {
        let bad = TelemetryConfig { filter: "info,=[".to_owned(), ..TelemetryConfig::default() };
        assert!(matches!(bad.build(), Err(TelemetryError::Filter { .. })));
        let quiet = TelemetryConfig { format: LogFormat::Json, filter: "error".to_owned() };
        let telemetry = quiet.build().unwrap();
        metrics::counter!("shardline_test_total").increment(3);
        assert!(telemetry.render().contains("shardline_test_total 3"));
        assert!(matches!(TelemetryConfig::default().build(), Err(TelemetryError::Log(_))));
    }

    #[test]
    fn log_formats_are_named() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert!("xml".parse::<LogFormat>().unwrap_err().contains("use text or json"));
    }
}
