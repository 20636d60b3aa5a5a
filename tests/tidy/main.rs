//! Checks on the tree itself: who imports whom, links, headers and lengths of files.

mod crates;
mod files;
mod links;

use std::path::{Path, PathBuf};

/// The root of the checkout.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the checkout")
}

/// All files of the checkout with an extension, but for what is built or installed.
fn files_with(extension: &str) -> Vec<PathBuf> {
    const SKIPPED: [&str; 5] = ["target", "node_modules", ".git", ".venv", ".shardline"];
    let (mut found, mut folders) = (Vec::new(), vec![root().to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !path.is_symlink() && !SKIPPED.contains(&name) {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no .{extension} files: is this the checkout?");
    found.sort();
    found
}

/// A path as it is written from the root.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
