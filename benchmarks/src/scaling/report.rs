//! The results of all parts: `scaling.json`, which a later run of one part completes, and
//! `scaling.md` and the plots, made of it.

use super::{cost::CostSeries, writes::Growth};
use crate::macro_run::{machine::Machine, plot::Bars};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{fmt::Write, fs, io::ErrorKind, path::Path};

/// What has been measured so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Results {
    /// Where the last part was measured.
    pub(super) machine: Option<Machine>,
    /// Writes with slow syncs.
    pub(super) latency: Option<Growth>,
    /// Writes with few bytes of redo per second.
    pub(super) bandwidth: Option<Growth>,
    /// The router alone, by dimension.
    pub(super) router: Vec<CostSeries>,
    /// The proxy's process, by dimension.
    pub(super) proxy: Vec<CostSeries>,
}

impl Results {
    /// What earlier runs have left in a folder.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("scaling.json");
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .with_context(|| format!("{} is of another version: remove it", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Replaces one series of the proxy's process.
    pub(super) fn set_proxy(&mut self, series: CostSeries) {
        self.proxy.retain(|old| old.dimension != series.dimension);
        self.proxy.push(series);
    }

    /// Writes all forms into a folder.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).context("making the folder of results")?;
        let json = serde_json::to_string_pretty(self).context("writing JSON")? + "\n";
        let mut files = vec![("scaling.json".to_owned(), json)];
        files.push(("scaling.md".to_owned(), self.markdown()));
        files.extend(self.plots());
        for (name, text) in files {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }

    /// The tables.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::from("# Scaling\n");
        if let Some(machine) = &self.machine {
            text +=
                &format!("\nOne machine has client, proxy and servers: {}.\n", machine.sentence());
        }
        for growth in self.latency.iter().chain(&self.bandwidth) {
            growth_table(&mut text, growth);
        }
        for (what, all) in [
            ("Routing alone, one thread: digest, plan-cache hit, binding", &self.router),
            ("The proxy's process, 16 clients, point selects as text", &self.proxy),
        ] {
            for series in all {
                cost_table(&mut text, what, series);
            }
        }
        text
    }

    /// File names and pictures.
    fn plots(&self) -> Vec<(String, String)> {
        let mut plots = Vec::new();
        for (name, growth) in [("latency", &self.latency), ("bandwidth", &self.bandwidth)] {
            let picture = growth.as_ref().map(|growth| growth_bars(growth).svg());
            plots.extend(picture.map(|svg| (format!("scaling.{name}.svg"), svg)));
        }
        for dimension in ["shards", "tables", "plans"] {
            let [router, proxy] = [&self.router, &self.proxy]
                .map(|all| all.iter().find(|series| series.dimension == dimension));
            if router.is_some() || proxy.is_some() {
                let svg = cost_bars(dimension, router, proxy).svg();
                plots.push((format!("scaling.{dimension}.svg"), svg));
            }
        }
        plots
    }
}

fn growth_bars(growth: &Growth) -> Bars {
    let mut shards: Vec<usize> = growth.rates.iter().map(|rate| rate.shards).collect();
    shards.sort_unstable();
    shards.dedup();
    let mut series: Vec<String> = growth.rates.iter().map(|rate| rate.workload.clone()).collect();
    series.dedup();
    let rate = |workload: &str, shards: usize| {
        let mut rates = growth.rates.iter();
        rates
            .find(|rate| rate.workload == workload && rate.shards == shards)
            .map(|rate| rate.per_second)
    };
    let groups = shards.iter().map(|&shards| {
        let values = series.iter().map(|workload| rate(workload, shards)).collect();
        (format!("{shards} shards"), values)
    });
    let groups = groups.collect();
    Bars { title: format!("Writes per second: {}", growth.method), series, groups }
}

fn cost_bars(dimension: &str, router: Option<&CostSeries>, proxy: Option<&CostSeries>) -> Bars {
    let all = [proxy, router];
    let mut sizes: Vec<usize> =
        all.iter().flatten().flat_map(|series| series.costs.iter().map(|cost| cost.size)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let cost = |series: Option<&CostSeries>, size: usize| {
        let mut costs = series?.costs.iter();
        costs.find(|cost| cost.size == size).map(|cost| cost.cost_us)
    };
    let groups = sizes
        .iter()
        .map(|&size| (size.to_string(), all.iter().map(|series| cost(*series, size)).collect()));
    Bars {
        title: format!("Processor time per query in us, against {dimension}"),
        series: vec!["proxy process".to_owned(), "router alone".to_owned()],
        groups: groups.collect(),
    }
}

// Writing into a text cannot fail, so that what `writeln!` returns is dropped below.

fn growth_table(text: &mut String, growth: &Growth) {
    let _ = writeln!(text, "\n## Writes per second: {}\n", growth.method);
    let _ = writeln!(
        text,
        "One proxy, medians of {} s runs. Growth is against one shard.\n\n\
         | workload | shards | clients | writes/s | growth | proxy CPU/write, us | runs |\n\
         |---|---|---|---|---|---|---|",
        growth.seconds
    );
    for rate in &growth.rates {
        let runs: Vec<String> = rate.repetitions.iter().map(|run| format!("{run:.0}")).collect();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.0} | {:.2} | {:.1} | {} |",
            rate.workload,
            rate.shards,
            rate.clients,
            rate.per_second,
            growth.of_one_shard(rate),
            rate.proxy_cpu_us,
            runs.join(", ")
        );
    }
}

fn cost_table(text: &mut String, what: &str, series: &CostSeries) {
    let _ = writeln!(
        text,
        "\n## {what}: against {}\n\n| {} | us per query | to the smallest | queries/s |\n|---|---|---|---|",
        series.dimension, series.dimension
    );
    for cost in &series.costs {
        let rate = cost.per_second.map_or("-".to_owned(), |rate| format!("{rate:.0}"));
        let times = series.of_smallest(cost);
        let _ = writeln!(text, "| {} | {:.3} | {times:.2} | {rate} |", cost.size, cost.cost_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scaling::cost::Cost;

    fn series(dimension: &str, costs: &[(usize, f64)]) -> CostSeries {
        let cost = |&(size, cost_us): &(usize, f64)| Cost {
            size,
            cost_us,
            repetitions: vec![cost_us],
            per_second: None,
        };
        CostSeries { dimension: dimension.to_owned(), costs: costs.iter().map(cost).collect() }
    }

    #[test]
    fn a_part_measured_again_replaces_itself_alone() {
        let mut results = Results::default();
        results.set_proxy(series("shards", &[(1, 20.0), (64, 22.0)]));
        results.set_proxy(series("plans", &[(10, 20.0)]));
        results.set_proxy(series("shards", &[(1, 10.0), (64, 12.0)]));
        let json = serde_json::to_string(&results).expect("plain data");
        let again: Results = serde_json::from_str(&json).expect("what was written");
        let text = again.markdown();
        assert!(text.contains("| 64 | 12.000 | 1.20 | - |"), "{text}");
        assert_eq!(again.plots().len(), 2);
        assert!(!text.contains("1.10") && text.contains("against plans"), "{text}");
    }
}
