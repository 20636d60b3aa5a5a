//! The plan cache: templates by digest, catalog epoch and what of the session a plan
//! depends on. A hit compares the normalised text itself, so that two statements whose
//! fingerprints collide never share a plan.

use crate::{
    digest::Digest,
    lexer::{LiteralSpan, SqlMode},
    template::Template,
};
use quick_cache::{Weighter, sync::Cache};
use shardline_model::id::Epoch;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Default number of cached plans.
pub const PLANS_MAX: usize = 32_768;
/// Default size of the plan cache in bytes.
pub const PLAN_BYTES_MAX: usize = 128 << 20;
/// What a template weighs beside its text: a generous estimate, since plans are not measured.
const TEMPLATE_BYTES: usize = 2_048;
/// Statements with a longer normalised text are planned each time.
const CACHED_TEXT_BYTES_MAX: usize = 256 << 10;

/// A literal that a plan depends on, such as the `1` of `GROUP BY 1`: the plan is good
/// only for statements in which that literal is written with these bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiteralGuard {
    /// Which literal, counted from 0.
    pub ordinal: usize,
    /// Its bytes, quotes included.
    pub bytes: Vec<u8>,
}

impl LiteralGuard {
    /// Whether the literals of `sql` are what the plan depends on.
    pub fn holds(&self, sql: &[u8], literals: &[LiteralSpan]) -> bool {
        literals.get(self.ordinal).is_some_and(|literal| literal.span.of(sql) == self.bytes)
    }
}

/// What a plan depends on beside the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheContext<'a> {
    /// The version of the catalog, as far as plans depend on it.
    pub epoch: Epoch,
    /// The session's database.
    pub database: Option<&'a str>,
    /// The session's sql_mode.
    pub sql_mode: SqlMode,
    /// Whether explicit ids are allowed.
    pub allow_explicit_ids: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    fingerprint: u128,
    context: u64,
    epoch: Epoch,
    sql_mode: SqlMode,
    allow_explicit_ids: bool,
}

impl Key {
    fn new(digest: &Digest, context: &CacheContext<'_>) -> Self {
        let database = context.database.unwrap_or_default().as_bytes();
        Self {
            fingerprint: digest.fingerprint,
            context: xxh3_64_with_seed(database, u64::from(context.database.is_some())),
            epoch: context.epoch,
            sql_mode: context.sql_mode,
            allow_explicit_ids: context.allow_explicit_ids,
        }
    }
}

#[derive(Debug)]
struct Entry {
    text: Box<[u8]>,
    database: Option<Box<str>>,
    guards: Vec<LiteralGuard>,
    template: Arc<Template>,
}

#[derive(Clone, Debug)]
struct EntryWeight {
    /// The least weight of an entry, which bounds their number.
    entry_min: u64,
}

impl Weighter<Key, Arc<Entry>> for EntryWeight {
    fn weight(&self, _: &Key, entry: &Arc<Entry>) -> u64 {
        let guards: usize = entry.guards.iter().map(|guard| guard.bytes.len() + 40).sum();
        ((entry.text.len() * 2 + guards + TEMPLATE_BYTES) as u64).max(self.entry_min)
    }
}

/// Templates of recent statements, bounded in number and in bytes.
#[derive(Debug)]
pub struct PlanCache {
    entries: Cache<Key, Arc<Entry>, EntryWeight>,
}

impl PlanCache {
    /// A cache of at most `plans_max` plans and about `bytes_max` bytes.
    pub fn new(plans_max: usize, bytes_max: usize) -> Self {
        let entry_min = (bytes_max / plans_max.max(1)).max(1) as u64;
        let weight = EntryWeight { entry_min };
        Self { entries: Cache::with_weighter(plans_max, bytes_max as u64, weight) }
    }

    /// The template for a statement, if there is one whose guards hold.
    pub fn get(
        &self,
        sql: &[u8],
        digest: &Digest,
        context: &CacheContext<'_>,
    ) -> Option<Arc<Template>> {
        let entry = self.entries.get(&Key::new(digest, context))?;
        let same = *entry.text == *digest.text && entry.database.as_deref() == context.database;
        let holds = || entry.guards.iter().all(|guard| guard.holds(sql, &digest.literals));
        (same && holds()).then(|| entry.template.clone())
    }

    /// Keeps a template for the statements of this digest for which `guards` hold.
    pub fn insert(
        &self,
        digest: &Digest,
        context: &CacheContext<'_>,
        guards: Vec<LiteralGuard>,
        template: Arc<Template>,
    ) {
        if digest.text.len() > CACHED_TEXT_BYTES_MAX {
            return;
        }
        let entry = Entry {
            text: digest.text.as_slice().into(),
            database: context.database.map(Into::into),
            guards,
            template,
        };
        self.entries.insert(Key::new(digest, context), Arc::new(entry));
    }

    /// How many plans it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
