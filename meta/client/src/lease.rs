//! A proxy's lease, held and renewed. Time is measured here by durations of this machine's
//! monotonic clock only, counted from the moment a request was *sent*, so the holder's view
//! of the end is never later than the service's.

use crate::{
    CallError, LeaseError, ProxyRegistration,
    client::Shared,
    rpc::{LeaseInstance, LeaseRefusal, Request, Response},
};
use shardline_base::{Policy, Shutdown, Tasks};
use shardline_model::id::{Epoch, Incarnation, ProxyId};
use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
};

/// A renewal is tried this often within the lease's time.
const RENEWALS_PER_TTL: u32 = 5;
/// The shortest time between renewals that carry acknowledgements.
const ACKNOWLEDGE_PAUSE: Duration = Duration::from_millis(5);
/// The longest wait for the service when a lease is given back.
const END_LIMIT: Duration = Duration::from_secs(2);

/// A proxy id that belongs to this process as long as [`ProxyLease::valid`]. Dropping it
/// gives the id back (in the background; [`ProxyLease::release`] waits for that).
pub struct ProxyLease {
    holding: Arc<Holding>,
    /// Stops the renewing task.
    stop: Shutdown,
    released: watch::Receiver<bool>,
}

/// What the lease and its renewing task share.
struct Holding {
    proxy: ProxyId,
    incarnation: Incarnation,
    instance: LeaseInstance,
    /// The origin of `valid_until_us`.
    origin: Instant,
    /// Microseconds after `origin`.
    valid_until_us: AtomicU64,
    /// Set once: the service says the id is not ours, or we gave it back.
    ended: AtomicBool,
    acknowledged: AtomicU64,
    admits_by: AtomicU64,
    /// An epoch was acknowledged that the service does not know yet.
    news: Notify,
    lost: watch::Sender<bool>,
}

impl ProxyLease {
    /// The id: unique in the cluster while the lease is valid.
    pub fn proxy_id(&self) -> ProxyId {
        self.holding.proxy
    }

    /// The number of this life of the proxy; no other ever has it.
    pub fn incarnation(&self) -> Incarnation {
        self.holding.incarnation
    }

    /// Whether the id is certainly ours now. An atomic load and a clock read.
    pub fn valid(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// The same at a moment that was just read from the clock.
    pub fn valid_at(&self, now: Instant) -> bool {
        let holding = &*self.holding;
        if holding.ended.load(Ordering::Acquire) {
            return false;
        }
        let until = holding.valid_until_us.load(Ordering::Acquire);
        (now.saturating_duration_since(holding.origin).as_micros() as u64) < until
    }

    /// How long the id is ours without another renewal; zero when it is not.
    pub fn remaining(&self) -> Duration {
        self.holding.remaining()
    }

    /// Waits until the lease has ended for good: time passed without a renewal, or the
    /// service refused one. Then take a new lease. Cancel-safe.
    pub async fn lost(&self) {
        let mut lost = self.holding.lost.subscribe();
        // The sender lives in `self.holding`.
        let _ = lost.wait_for(|lost| *lost).await;
    }

    /// Tells the service, at once, that this proxy uses no catalog older than `epoch` any
    /// more. Never goes back.
    pub fn acknowledge(&self, epoch: Epoch) {
        if self.holding.acknowledged.fetch_max(epoch.0, Ordering::AcqRel) < epoch.0 {
            self.holding.news.notify_one();
        }
    }

    /// Tells the service, at once, that every commit which this proxy admits from now on is
    /// admitted by a catalog of `epoch` or a newer one. Never goes back.
    pub fn admits_by(&self, epoch: Epoch) {
        if self.holding.admits_by.fetch_max(epoch.0, Ordering::AcqRel) < epoch.0 {
            self.holding.news.notify_one();
        }
    }

    /// Gives the id back: the lease is invalid at once, and the service is told within two
    /// seconds or learns it when the time is over.
    pub async fn release(mut self) {
        self.stop.trigger();
        // An error means that the task is gone, which is as good.
        let _ = self.released.wait_for(|released| *released).await;
    }
}

impl Drop for ProxyLease {
    fn drop(&mut self) {
        self.stop.trigger();
    }
}

impl Holding {
    fn remaining(&self) -> Duration {
        if self.ended.load(Ordering::Acquire) {
            return Duration::ZERO;
        }
        let until = Duration::from_micros(self.valid_until_us.load(Ordering::Acquire));
        until.saturating_sub(self.origin.elapsed())
    }

    fn extend(&self, sent: Instant, ttl: Duration) {
        let until = sent.saturating_duration_since(self.origin) + ttl;
        self.valid_until_us.fetch_max(until.as_micros() as u64, Ordering::AcqRel);
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.lost.send_replace(true);
    }
}

/// Asks for an id, starts its renewal, and waits for the catalog that the lease asks for.
pub(crate) async fn acquire(
    shared: &Arc<Shared>,
    tasks: &Tasks,
    runtime: &Handle,
    registration: ProxyRegistration,
) -> Result<ProxyLease, LeaseError> {
    let grant = ask(shared, registration).await?;
    let lease = hold(shared, tasks, runtime, &grant);
    let waited = Instant::now();
    if shared.wait_for(grant.epoch, shared.caller.deadline()).await {
        return Ok(lease);
    }
    // Dropping it gives it back.
    Err(LeaseError::Call(CallError::Unavailable {
        operation: "receive the catalog that a new lease asks for",
        endpoints: shared.caller.endpoints(),
        waited_ms: waited.elapsed().as_millis() as u64,
        last: shared.watch_failure(),
    }))
}

/// What the service gave.
struct Grant {
    proxy: ProxyId,
    incarnation: Incarnation,
    instance: LeaseInstance,
    epoch: Epoch,
    ttl: Duration,
    /// When it was asked for first: time counts from there.
    sent: Instant,
}

async fn ask(shared: &Shared, registration: ProxyRegistration) -> Result<Grant, LeaseError> {
    let operation = "take a proxy lease";
    let instance = random_instance();
    let request = Request::GrantLease { instance, registration };
    loop {
        // The answer may be to an early attempt, so time counts from the first one. A grant
        // that took most of its own time is asked for again: it is the same grant.
        let sent = Instant::now();
        match shared.caller.call(operation, &request).await?.response {
            Response::LeaseGranted { proxy, incarnation, epoch, ttl_ms } => {
                let ttl = Duration::from_millis(ttl_ms);
                if sent.elapsed() < ttl / 2 {
                    return Ok(Grant { proxy, incarnation, instance, epoch, ttl, sent });
                }
            }
            Response::LeaseRefused(refusal) => return Err(LeaseError::Refused(refusal)),
            other => return Err(shared.unexpected(operation, &other).into()),
        }
    }
}

/// Starts the renewal.
fn hold(shared: &Arc<Shared>, tasks: &Tasks, runtime: &Handle, grant: &Grant) -> ProxyLease {
    let Grant { proxy, incarnation, instance, ttl, sent, .. } = *grant;
    let holding = Arc::new(Holding {
        proxy,
        incarnation,
        instance,
        origin: sent,
        valid_until_us: AtomicU64::new(ttl.as_micros() as u64),
        ended: AtomicBool::new(false),
        acknowledged: AtomicU64::new(0),
        admits_by: AtomicU64::new(0),
        news: Notify::new(),
        lost: watch::Sender::new(false),
    });
    let stop = tasks.shutdown().child();
    let (done, released) = watch::channel(false);
    let renewal = Renewal { shared: shared.clone(), holding: holding.clone(), ttl };
    let until = stop.clone();
    // Load on the caller's runtime must not hold renewals up.
    let _on_clients_runtime = runtime.enter();
    tasks.spawn(format!("lease of {proxy}"), Policy::Isolated, async move {
        renewal.run(until).await;
        done.send_replace(true);
    });
    ProxyLease { holding, stop, released }
}

/// The task that keeps a lease.
struct Renewal {
    shared: Arc<Shared>,
    holding: Arc<Holding>,
    ttl: Duration,
}

impl Renewal {
    async fn run(self, stop: Shutdown) {
        if stop.or(self.renew_until_lost()).await.is_some() {
            self.holding.end();
            return;
        }
        self.holding.end();
        let request =
            Request::EndLease { proxy: self.holding.proxy, instance: self.holding.instance };
        let ended = self.shared.caller.call_within("give back a lease", &request, END_LIMIT).await;
        if let Err(error) = ended {
            tracing::debug!(%error, proxy = %self.holding.proxy, "the lease ends by its time");
        }
    }

    /// Returns when the lease is lost.
    async fn renew_until_lost(&self) {
        loop {
            self.pause().await;
            let remaining = self.holding.remaining();
            if remaining.is_zero() {
                tracing::error!(proxy = %self.holding.proxy, "the lease ran out unrenewed");
                return;
            }
            match self.renew(remaining).await {
                Ok(Ok(())) => {}
                Ok(Err(refusal)) => {
                    tracing::error!(%refusal, "the lease was refused");
                    return;
                }
                Err(error) => {
                    let remaining_ms = self.holding.remaining().as_millis() as u64;
                    tracing::warn!(%error, remaining_ms, "the lease is not renewed yet");
                }
            }
        }
    }

    /// Until a renewal is due: by time, or since there is something to say.
    async fn pause(&self) {
        let due = tokio::time::Instant::now() + self.ttl / RENEWALS_PER_TTL;
        tokio::time::sleep(ACKNOWLEDGE_PAUSE).await;
        // By time or by news, the renewal says all.
        let _ = tokio::time::timeout_at(due, self.holding.news.notified()).await;
    }

    async fn renew(&self, limit: Duration) -> Result<Result<(), LeaseRefusal>, CallError> {
        let operation = "renew a proxy lease";
        let request = Request::RenewLease {
            proxy: self.holding.proxy,
            instance: self.holding.instance,
            acknowledged: Epoch(self.holding.acknowledged.load(Ordering::Acquire)),
            admits_by: Epoch(self.holding.admits_by.load(Ordering::Acquire)),
        };
        let sent = Instant::now();
        match self.shared.caller.call_within(operation, &request, limit).await?.response {
            Response::LeaseHeld { ttl_ms, .. } => {
                self.holding.extend(sent, Duration::from_millis(ttl_ms));
                Ok(Ok(()))
            }
            Response::LeaseRefused(refusal) => Ok(Err(refusal)),
            other => Err(self.shared.unexpected(operation, &other)),
        }
    }
}

fn random_instance() -> LeaseInstance {
    let half = || u128::from(RandomState::new().hash_one(Instant::now()));
    LeaseInstance(half() << 64 | half())
}
