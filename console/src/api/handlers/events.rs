//! What changes, as it changes: a stream of events for pages that show it live.

use crate::{
    api::{
        call::{Call, Reply},
        endpoint::{Endpoint, Rule},
    },
    operations::{OperationError, Operations},
};
use axum::response::{
    IntoResponse,
    sse::{Event, KeepAlive, Sse},
};
use futures_util::stream;
use serde::Serialize;
use shardline_model::access::Scope;
use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::OwnedSemaphorePermit;

/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// The cluster is looked at this often.
const CLUSTER_PAUSE: Duration = Duration::from_secs(10);
/// Something is sent this often, so that dead connections are found.
const ALIVE_PAUSE: Duration = Duration::from_secs(15);
/// How long one stream goes on: the page comes again, and whoever may not any more does not.
const LIFE: Duration = Duration::from_secs(600);

/// The operations.
pub(super) fn table() -> Vec<Endpoint> {
    vec![
        Endpoint::get::<String, _>("streamEvents", "/events", Rule::Any(&[Scope::Read]), events)
            .cli("cluster watch")
            .does("Events as they happen: metrics, jobs, slow, cluster")
            .streams(),
    ]
}

/// What a stream has sent.
struct Watch {
    operations: Arc<Operations>,
    texts: bool,
    began: Instant,
    waiting: VecDeque<Event>,
    point_unix_s: u64,
    slow: u64,
    jobs: String,
    cluster: Option<Instant>,
    first: bool,
    _place: OwnedSemaphorePermit,
}

async fn events(call: Arc<Call>) -> Result<Reply, OperationError> {
    let place = call.api.streams.clone().try_acquire_owned().map_err(|_| {
        OperationError::unavailable("busy", "too many watch events at the same time")
    })?;
    let operations = call.operations();
    let slow = operations.inside()?.statistics().slow_last();
    let watch = Watch {
        operations,
        texts: call.may(Scope::Statements),
        began: Instant::now(),
        waiting: VecDeque::new(),
        point_unix_s: 0,
        slow,
        jobs: String::new(),
        cluster: None,
        first: true,
        _place: place,
    };
    let (stop, live) = (call.api.settings.stop.clone(), KeepAlive::new().interval(ALIVE_PAUSE));
    let events = stream::unfold(watch, move |mut watch| {
        let stop = stop.clone();
        async move {
            let event = stop.or(watch.next()).await??;
            Some((Ok::<_, Infallible>(event), watch))
        }
    });
    Ok(Reply::Other(Sse::new(events).keep_alive(live).into_response()))
}

impl Watch {
    /// The next event; None when the stream has gone on for long enough.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.began.elapsed() > LIFE {
                return None;
            }
            if self.first {
                self.first = false;
                self.add("hello", &serde_json::json!({"version": env!("CARGO_PKG_VERSION")}));
            } else {
                tokio::time::sleep(LOOK_PAUSE).await;
            }
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let operations = self.operations.clone();
        if let Ok(series) = operations.series(Duration::from_secs(1))
            && let Some(point) = series.points.last()
            && point.unix_s > self.point_unix_s
        {
            self.point_unix_s = point.unix_s;
            self.add("metrics", point);
        }
        if let Ok(slow) = operations.slow_since(self.slow, self.texts) {
            for one in slow {
                self.slow = one.number;
                self.add("slow", &one);
            }
        }
        let jobs = operations.jobs().await;
        let text = serde_json::to_string(&jobs).unwrap_or_default();
        if text != self.jobs {
            self.jobs = text;
            self.add("jobs", &jobs);
        }
        if self.cluster.is_none_or(|seen| seen.elapsed() >= CLUSTER_PAUSE) {
            self.cluster = Some(Instant::now());
            let cluster = operations.cluster().await;
            self.add("cluster", &cluster);
        }
    }

    fn add(&mut self, name: &str, value: &impl Serialize) {
        // What cannot be written as JSON is a mistake of ours and not sent.
        if let Ok(event) = Event::default().event(name).json_data(value) {
            self.waiting.push_back(event);
        }
    }
}
