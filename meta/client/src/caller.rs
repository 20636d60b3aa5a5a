//! Carries requests to the leader: keeps idle connections, follows hints, retries with
//! backoff until the operation's time is over. Every request is safe to repeat.

use crate::{
    CallError, ClientConfig,
    frame::FrameError,
    rpc::{Request, Response},
    transport::{self, Channel, Frames, TransportError},
};
use parking_lot::Mutex;
use shardline_base::Shutdown;
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

/// How many requests of one process are on the way at once; more wait.
const CALLS_MAX: usize = 32;
/// How many idle connections are kept.
const IDLE_MAX: usize = 4;

/// The way to the leader.
pub(crate) struct Caller {
    pub(crate) config: ClientConfig,
    tls: Option<TlsConnector>,
    /// The last endpoint that answered as the leader or was named as it.
    leader: Mutex<Option<String>>,
    next_endpoint: AtomicUsize,
    /// Idle connections and where they go, oldest first.
    idle: Mutex<VecDeque<(String, Frames)>>,
    permits: Semaphore,
    shutdown: Shutdown,
}

/// Why one attempt gave no answer.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("{endpoint}: {source}")]
    Frame { endpoint: String, source: FrameError },
    #[error("{endpoint} closed the connection")]
    Closed { endpoint: String },
    #[error("{endpoint} gave no answer in time")]
    Timeout { endpoint: String },
}

/// One answer, and how many attempts it took.
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) attempts: u32,
}

impl Caller {
    pub(crate) fn new(config: ClientConfig, tls: Option<TlsConnector>, shutdown: Shutdown) -> Self {
        Self {
            config,
            tls,
            leader: Mutex::new(None),
            next_endpoint: AtomicUsize::new(0),
            idle: Mutex::default(),
            permits: Semaphore::new(CALLS_MAX),
            shutdown,
        }
    }

    /// Asks until the leader answers or the operation's time is over.
    pub(crate) async fn call(
        &self,
        operation: &'static str,
        request: &Request,
    ) -> Result<Answer, CallError> {
        let limit = Duration::from_millis(self.config.timing.call_timeout_ms);
        self.call_within(operation, request, limit).await
    }

    /// As [`Caller::call`], with a limit of its own.
    pub(crate) async fn call_within(
        &self,
        operation: &'static str,
        request: &Request,
        limit: Duration,
    ) -> Result<Answer, CallError> {
        let last = Mutex::new(String::from("no attempt was made"));
        let asking = self.ask_until_answered(operation, request, &last);
        match self.shutdown.or(tokio::time::timeout(limit, asking)).await {
            None => Err(CallError::Stopping { operation }),
            Some(Ok(answered)) => answered,
            Some(Err(_)) => Err(CallError::Unavailable {
                operation,
                endpoints: self.endpoints(),
                waited_ms: limit.as_millis() as u64,
                last: last.into_inner(),
            }),
        }
    }

    async fn ask_until_answered(
        &self,
        operation: &'static str,
        request: &Request,
        last: &Mutex<String>,
    ) -> Result<Answer, CallError> {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        let mut backoff = self.config.timing.backoff.build();
        for attempts in 1.. {
            let endpoint = self.pick_endpoint();
            match self.attempt(&endpoint, request).await {
                Ok(Response::NotLeader { leader }) => {
                    *last.lock() = match &leader {
                        Some(leader) => format!("{endpoint} says that {leader} is the leader"),
                        None => format!("{endpoint} knows no leader"),
                    };
                    let new_hint = leader.as_ref().is_some_and(|leader| *leader != endpoint);
                    self.set_leader(leader.filter(|leader| *leader != endpoint));
                    if new_hint && attempts % 4 != 0 {
                        continue;
                    }
                }
                Ok(Response::Unavailable { reason }) => {
                    self.set_leader(None);
                    *last.lock() = format!("{endpoint}: {reason}");
                }
                Ok(Response::Refused { reason }) => {
                    return Err(CallError::Refused { operation, endpoints: endpoint, reason });
                }
                Ok(response) => {
                    self.set_leader(Some(endpoint));
                    return Ok(Answer { response, attempts });
                }
                Err(error) => {
                    self.set_leader(None);
                    *last.lock() = error_chain(&error);
                }
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
        // 2^32 attempts do not fit any limit.
        Err(CallError::Stopping { operation })
    }

    async fn attempt(&self, endpoint: &str, request: &Request) -> Result<Response, AttemptError> {
        // An idle connection may have died unnoticed: that is no attempt of its own.
        if let Some(frames) = self.take_idle(endpoint)
            && let Ok(response) = self.exchange(endpoint, frames, request).await
        {
            return Ok(response);
        }
        let frames = self.connect(endpoint).await?;
        self.exchange(endpoint, frames, request).await
    }

    async fn exchange(
        &self,
        endpoint: &str,
        mut frames: Frames,
        request: &Request,
    ) -> Result<Response, AttemptError> {
        let limit = Duration::from_millis(self.config.timing.attempt_timeout_ms);
        let exchanging = async {
            frames.send(request).await?;
            frames.receive::<Response>().await
        };
        let endpoint = endpoint.to_owned();
        match tokio::time::timeout(limit, exchanging).await {
            Err(_) => Err(AttemptError::Timeout { endpoint }),
            Ok(Err(source)) => Err(AttemptError::Frame { endpoint, source }),
            Ok(Ok(None)) => Err(AttemptError::Closed { endpoint }),
            Ok(Ok(Some(response))) => {
                self.put_idle(endpoint, frames);
                Ok(response)
            }
        }
    }

    /// A new connection, for a watch.
    pub(crate) async fn connect(&self, endpoint: &str) -> Result<Frames, TransportError> {
        let limit = Duration::from_millis(self.config.timing.connect_timeout_ms);
        transport::connect(endpoint, self.tls.as_ref(), Channel::Client, limit).await
    }

    /// The leader as far as known, else the next endpoint in turn.
    pub(crate) fn pick_endpoint(&self) -> String {
        if let Some(leader) = self.leader.lock().clone() {
            return leader;
        }
        let turn = self.next_endpoint.fetch_add(1, Ordering::Relaxed);
        self.config.endpoints[turn % self.config.endpoints.len()].clone()
    }

    /// Remembers or forgets who the leader is.
    pub(crate) fn set_leader(&self, leader: Option<String>) {
        *self.leader.lock() = leader;
    }

    /// All endpoints, for messages.
    pub(crate) fn endpoints(&self) -> String {
        self.config.endpoints.join(", ")
    }

    /// When an operation that starts now is over.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.config.timing.call_timeout_ms)
    }

    fn take_idle(&self, endpoint: &str) -> Option<Frames> {
        let mut idle = self.idle.lock();
        let at = idle.iter().rposition(|(to, _)| to == endpoint)?;
        idle.remove(at).map(|(_, frames)| frames)
    }

    fn put_idle(&self, endpoint: String, frames: Frames) {
        let mut idle = self.idle.lock();
        if idle.len() == IDLE_MAX {
            idle.pop_front();
        }
        idle.push_back((endpoint, frames));
    }
}

/// An error with its sources on one line.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
