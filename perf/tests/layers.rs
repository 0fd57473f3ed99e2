//! Imports in `src/` point down the layers of the map in `main.rs`, and form no circle.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy sees only `#[test]` functions as tests

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The layers, the lowest first. Modules of one layer do not import each other.
const LAYERS: [&[&str]; 8] = [
    &["failure", "versions"],
    &["machine", "message"],
    &["systems"],
    &["measure"],
    &["results"],
    &["scenarios", "report"],
    &["soak", "durable"],
    &["commands"],
];

type Modules = BTreeMap<String, String>;

/// Every module's path, such as `measure::job`, with its source, except `main` and the
/// declarations in `mod.rs`.
fn modules(folder: &Path, path: &str, found: &mut Modules) {
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let inner = match (path, name.as_str()) {
            ("", name) => name.to_owned(),
            (path, "mod") => path.to_owned(),
            (path, name) => format!("{path}::{name}"),
        };
        if file.is_dir() {
            modules(&file, &inner, found);
        } else if file.extension().is_some_and(|extension| extension == "rs") && inner != "main" {
            found.insert(inner, fs::read_to_string(&file).unwrap());
        }
    }
}

/// The longest prefix of a path that is a module.
fn module_of(path: &[&str], all: &Modules) -> Option<String> {
    let prefixes = (1..=path.len())
        .rev()
        .map(|length| path[..length].join("::"));
    prefixes.into_iter().find(|prefix| all.contains_key(prefix))
}

/// The modules that `source` names by a path from `crate` or `super`.
fn imports(module: &str, source: &str, all: &Modules) -> BTreeSet<String> {
    let code: Vec<&str> = source
        .lines()
        .map(|line| line.split("//").next().unwrap())
        .collect();
    let code: String = code
        .join("\n")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut found = BTreeSet::new();
    for (at, _) in code
        .match_indices("crate::")
        .chain(code.match_indices("super::"))
    {
        let rest = &code[at..];
        let end = rest.find(|c| !is_path(c)).unwrap_or(rest.len());
        let (path, after) = rest.split_at(end);
        let mut base: Vec<&str> = match path.starts_with("crate") {
            true => Vec::new(),
            false => module.split("::").collect(),
        };
        for part in path.split("::") {
            match part {
                "crate" | "" => {}
                "super" => drop(base.pop()),
                part => base.push(part),
            }
        }
        let group = after
            .strip_prefix('{')
            .and_then(|list| list.split('}').next());
        for leaf in group.unwrap_or_default().split(',') {
            let mut path = base.clone();
            path.extend(leaf.trim().split("::").filter(|part| !part.is_empty()));
            found.extend(module_of(&path, all).filter(|other| other != module));
        }
    }
    found
}

fn layer(module: &str) -> usize {
    let folder = module.split("::").next().unwrap();
    let layer = LAYERS.iter().position(|layer| layer.contains(&folder));
    layer.unwrap_or_else(|| panic!("{folder} is in no layer"))
}

#[test]
fn imports_point_down_and_form_no_circle() {
    let mut all = Modules::new();
    modules(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        "",
        &mut all,
    );
    let mut graph: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (module, source) in &all {
        let imported = imports(module, source, &all);
        for other in &imported {
            let same_folder = module.split("::").next() == other.split("::").next();
            let down = layer(other) < layer(module) || same_folder;
            assert!(down, "{module} imports {other}");
        }
        graph.insert(module, imported);
    }
    assert!(
        graph.values().map(BTreeSet::len).sum::<usize>() > 150,
        "too few imports found"
    );
    // Removes the modules that import none of the rest, until nothing is left or a circle is.
    while !graph.is_empty() {
        let left: BTreeSet<String> = graph.keys().map(|&module| module.to_owned()).collect();
        graph.retain(|_, imported| !imported.is_disjoint(&left));
        assert!(graph.len() < left.len(), "a circle among {left:?}");
    }
}

#[test]
fn the_map_lists_every_layer() {
    let main = include_str!("../src/main.rs");
    for (rank, layer) in LAYERS.iter().enumerate() {
        for module in *layer {
            let listed = |ending| main.contains(&format!("//! | {rank} | `{module}{ending}` |"));
            assert!(listed("/") || listed(".rs"), "{module} in layer {rank}");
        }
    }
}
