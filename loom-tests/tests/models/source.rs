//! The source keeps its orderings where the models can reach them.

use std::collections::BTreeMap;
use std::path::Path;

/// The files that may name what the others may not.
const SYNC: [&str; 3] = ["sync.rs", "sync_loom.rs", "sites_loom.rs"];

fn sources() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let files = std::fs::read_dir(src).unwrap();
    let files: Vec<_> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(files.len() > 15, "the source is not where it was");
    files
}

/// Code, without comments.
fn code(source: &str) -> impl Iterator<Item = &str> {
    source.lines().map(|line| line.split("//").next().unwrap())
}

#[test]
fn atomics_and_orderings_are_named_in_sync_rs_alone() {
    for (file, source) in sources() {
        if SYNC.contains(&&*file) {
            continue;
        }
        for line in code(&source) {
            for banned in ["Ordering::", "sync::atomic", "hint::spin", "compiler_fence"] {
                assert!(!line.contains(banned), "{file}: {line}");
            }
        }
    }
}

#[test]
fn every_ordering_site_has_a_name_of_its_own_and_a_row_of_the_table() {
    let design = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/design.md");
    let design = std::fs::read_to_string(design).unwrap();
    let mut sites = BTreeMap::new();
    for (file, source) in sources() {
        if SYNC.contains(&&*file) {
            continue;
        }
        let code: String = code(&source).collect::<Vec<_>>().join(" ");
        for start in ["ord!(", "fence!("] {
            for rest in code.split(start).skip(1) {
                let arguments = rest.split(')').next().unwrap();
                let parts: Vec<_> = arguments.split(',').map(str::trim).collect();
                if parts[0] == "Relaxed" {
                    continue;
                }
                let (site, row) = (parts[0].trim_matches('"').to_owned(), parts[1].to_owned());
                assert!(
                    design.contains(&format!("| {row} |")),
                    "{site}: docs/design.md has no row {row}"
                );
                assert!(
                    design.contains(&format!("`{site}`")),
                    "{site} is not in the table of docs/design.md"
                );
                assert_eq!(
                    sites.insert(site.clone(), file.clone()),
                    None,
                    "{site} twice"
                );
            }
        }
    }
    assert!(sites.len() > 15, "{sites:?}");
}
