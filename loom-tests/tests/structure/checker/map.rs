//! The rule: the map of `docs/architecture.md` lists every file of `src/`, and no other.

use super::tree::{Fault, Tree};
use std::collections::BTreeSet;

const DOCS: &str = "docs/architecture.md";
const HEADING: &str = "## Map";

/// Compares the paths in backticks of the map's section with the files.
pub(crate) fn map(tree: &Tree) -> Vec<Fault> {
    let section = section(&tree.architecture);
    let mut faults = Vec::new();
    if section.is_empty() {
        faults.push(Fault::of(DOCS, format!("has no section `{HEADING}`")));
    }
    let listed: BTreeSet<&str> = section.iter().flat_map(|line| quoted_files(line)).collect();
    let files: BTreeSet<&str> = tree.files().map(|file| &*file.path).collect();
    for file in files.difference(&listed) {
        let what = format!("the map of {DOCS} does not list `{file}`");
        faults.push(Fault::of(&format!("src/{file}"), what));
    }
    for file in listed.difference(&files) {
        let what = format!("the map lists `{file}`, which does not exist in src/");
        faults.push(Fault::of(DOCS, what));
    }
    faults
}

/// The lines between the map's heading and the next one of its level.
fn section(text: &str) -> Vec<&str> {
    let lines = text.lines().skip_while(|line| line.trim_end() != HEADING);
    lines
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .collect()
}

/// The paths of Rust files in backticks.
fn quoted_files(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(|path| path.ends_with(".rs"))
}
