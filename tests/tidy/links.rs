//! Links of the documents: files that they name exist, headings that they point to, too.

use crate::{files_with, root, shown};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Links of a document: `[text](target)` outside of code, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Parts between backticks are code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let mut rest = prose.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            if let Some(end) = rest.find(')') {
                found.push((number, rest[..end].to_owned()));
            }
        }
    }
    found
}

/// The anchor of a heading, as Git hosts make it.
fn anchor(heading: &str) -> String {
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c if c.is_alphanumeric() => Some(c),
            _ => None,
        })
        .collect()
}

fn has_anchor(document: &Path, wanted: &str) -> bool {
    let text = fs::read_to_string(document).unwrap_or_default();
    text.lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| anchor(line.trim_start_matches('#')) == wanted)
}

fn fault(document: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let file: PathBuf = if path.is_empty() {
        document.to_owned()
    } else {
        document.parent().unwrap_or(root()).join(path)
    };
    if !file.exists() {
        return Some(format!("{target} does not exist"));
    }
    let outside = file
        .canonicalize()
        .is_ok_and(|file| root().canonicalize().is_ok_and(|root| !file.starts_with(root)));
    if outside {
        return Some(format!("{target} is outside of the repository"));
    }
    (!heading.is_empty() && !has_anchor(&file, heading))
        .then(|| format!("{target}: no such heading"))
}

#[test]
fn links_in_documents_resolve() {
    let mut faults = Vec::new();
    for document in files_with("md") {
        let text = fs::read_to_string(&document).expect("UTF-8");
        for (line, target) in links(&text) {
            if let Some(fault) = fault(&document, &target) {
                faults.push(format!("{}:{line}: {fault}", shown(&document)));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn documents_that_a_reader_looks_for_exist() {
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"] {
        assert!(root().join(name).is_file(), "{name} is missing");
    }
    assert!(root().join("docs/decisions").is_dir(), "docs/decisions is missing");
}

#[test]
fn links_are_found_outside_of_code_only() {
    let text = "see [a](b.md) and `[c](d.md)`\n```\n[e](f.md)\n```\n[g](h.md#i)";
    assert_eq!(links(text), [(1, "b.md".to_owned()), (5, "h.md#i".to_owned())]);
    assert_eq!(anchor(" 3. Life of a statement"), "3-life-of-a-statement");
}
