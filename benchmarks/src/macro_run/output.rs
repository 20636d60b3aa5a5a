//! The results as files: a page, everything as JSON, and pictures.

use super::{
    plot::Bars,
    report,
    results::{Cell, Figure, Results},
};
use anyhow::{Context, Result};
use std::{fs, path::Path};

/// Clients of the pictures.
const CLIENTS: u32 = 64;

/// Writes all files.
///
/// # Errors
/// A file cannot be written.
pub fn write(results: &Results, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let json = serde_json::to_string_pretty(results).context("writing the results as JSON")?;
    let mut files = vec![("macro.json", json + "\n")];
    let mut page = report::markdown(results);
    let pictures: [(&str, &str, Figure); 2] = [
        ("macro-processor.svg", "Processor time of the proxy per query, microseconds", |sample| {
            sample.proxy_us
        }),
        ("macro-throughput.svg", "Queries per second", |sample| Some(sample.qps)),
    ];
    for (name, title, figure) in pictures {
        let title = format!("{title} ({CLIENTS} clients)");
        let bars = bars(results, title.clone(), figure);
        if !bars.groups.is_empty() {
            page.push_str(&format!("\n![{title}]({name})\n"));
            files.push((name, bars.svg()));
        }
    }
    files.push(("macro.md", page));
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn bars(results: &Results, title: String, figure: Figure) -> Bars {
    let cells: Vec<Cell<'_>> =
        results.cells().into_iter().filter(|cell| cell.clients == CLIENTS).collect();
    let of = |name: fn(&Cell<'_>) -> String| {
        let mut names: Vec<String> = Vec::new();
        for cell in &cells {
            let name = name(cell);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    };
    let series: Vec<String> = of(|cell| cell.target.to_owned());
    let groups = of(|cell| cell.workload.to_owned()).into_iter().map(|workload| {
        let value = |target: &String| {
            results.median(Cell { workload: &workload, clients: CLIENTS, target }, figure)
        };
        let values = series.iter().map(value).collect();
        (workload.clone(), values)
    });
    let groups: Vec<_> = groups.collect();
    Bars { title, series, groups }
}
