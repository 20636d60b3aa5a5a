//! What routing alone costs, in this process and on one thread: the digest, a hit in the
//! plan cache and the binding of a point select, against shards, tables and plans.

use super::{
    cost::{Cost, CostSeries},
    median,
};
use crate::sysbench_catalog;
use anyhow::{Context, Result, ensure};
use shardline_model::catalog::Catalog;
use shardline_router::{
    router::{Router, RouterConfig, Scratch},
    template::{BindInput, SessionValues},
    view::SessionView,
};
use std::{hint::black_box, sync::Arc, time::Instant};

/// Statements of one measurement.
const STATEMENTS: usize = 1_000_000;
/// Different texts at least, so that keys differ too.
const TEXTS_MIN: usize = 1_000;

/// What one catalog and one set of statements is.
struct Case {
    size: usize,
    router: Router,
    catalog: Arc<Catalog>,
    texts: Vec<String>,
}

/// All three series, sizes in turn.
pub(super) fn measure(repetitions: u64) -> Result<Vec<CostSeries>> {
    let sizes = [10, 100, 1_000, 10_000];
    Ok(vec![
        series("shards", repetitions, [1, 2, 4, 8, 16, 32, 64].map(|size| (size, (size, 1, 1))))?,
        series("tables", repetitions, sizes.map(|size| (size, (3, size, 1))))?,
        series("plans", repetitions, sizes.map(|size| (size, (3, 1, size))))?,
    ])
}

fn series<const N: usize>(
    dimension: &str,
    repetitions: u64,
    sizes: [(usize, (usize, usize, usize)); N],
) -> Result<CostSeries> {
    let cases: Vec<Case> =
        sizes.into_iter().map(|(size, of)| Case::new(size, of)).collect::<Result<_>>()?;
    let mut samples = vec![Vec::new(); N];
    for _ in 0..repetitions {
        for (case, samples) in cases.iter().zip(&mut samples) {
            samples.push(case.measure()?);
        }
    }
    let costs = cases.iter().zip(samples).map(|(case, repetitions)| {
        let (size, cost_us) = (case.size, median(&repetitions));
        let cached = case.router.cached_plans();
        eprintln!("{size} {dimension}: {:.0} ns of the router, {cached} plans", cost_us * 1e3);
        Cost { size: case.size, cost_us, repetitions, per_second: None }
    });
    Ok(CostSeries { dimension: dimension.to_owned(), costs: costs.collect() })
}

impl Case {
    fn new(size: usize, (shards, tables, shapes): (usize, usize, usize)) -> Result<Self> {
        let catalog = sysbench_catalog(u16::try_from(shards)?, u32::try_from(tables)?)?;
        let texts = (0..TEXTS_MIN.max(tables).max(shapes)).map(|number| {
            let (shape, table) = (number % shapes + 1, number % tables + 1);
            format!("SELECT c AS a{shape} FROM sbtest{table} WHERE id={}", 50_000 + number)
        });
        let texts = texts.collect();
        let case = Self { size, router: Router::new(RouterConfig::default()), catalog, texts };
        // Once for the plans, and once more for what the cache forgot meanwhile.
        case.route(2 * case.texts.len())?;
        Ok(case)
    }

    /// Microseconds of a statement.
    fn measure(&self) -> Result<f64> {
        let started = Instant::now();
        self.route(STATEMENTS)?;
        Ok(started.elapsed().as_secs_f64() * 1e6 / STATEMENTS as f64)
    }

    fn route(&self, statements: usize) -> Result<()> {
        let (mut scratch, session) = (Scratch::new(), SessionValues::default());
        let view = SessionView { database: Some("sbtest"), ..SessionView::default() };
        for text in self.texts.iter().cycle().take(statements) {
            let sql = black_box(text.as_bytes());
            let template = self
                .router
                .prepare(sql, &view, &self.catalog, &mut scratch)
                .map_err(|refusal| anyhow::anyhow!("{text}: {refusal:?}"))?;
            let input = BindInput {
                sql,
                literals: scratch.literals(),
                params: None,
                session: &session,
                catalog: &self.catalog,
                ids: None,
            };
            let plan = template.bind(&input).ok().context("binding")?;
            ensure!(!matches!(black_box(plan), shardline_router::plan::Plan::Session(_)), "{text}");
        }
        Ok(())
    }
}
