//! The ordering sites of ringlog's source, found by reading it.

use std::fmt;
use std::path::{Path, PathBuf};

/// The files that may name orderings and atomics, relative to `src/`. All others use `ord!` and
/// `fence!`.
const SYNC: [&str; 5] = [
    "sync/mod.rs",
    "sync/std.rs",
    "sync/epoch.rs",
    "sync/loom.rs",
    "sync/ordering_sites.rs",
];

/// The document that has the ordering table.
const TABLE: &str = "docs/architecture.md";

/// Text that would bypass the macros.
const BANNED: [&str; 8] = [
    "Ordering::",
    "Ordering as",
    "atomic::",
    "{atomic",
    "hint::spin",
    "compiler_fence",
    "ord![",
    "fence![",
];

/// One ordering above `Relaxed`, or a fence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Site {
    pub(crate) name: String,
    /// Its row in the ordering table.
    pub(crate) row: String,
    pub(crate) ordering: String,
    /// Relative to `src/`.
    pub(crate) file: String,
}

impl Site {
    /// What it can be weakened to, as `RINGLOG_WEAKEN` takes it.
    pub(crate) fn weaker(&self) -> &'static [&'static str] {
        match self.ordering.as_str() {
            "fence" => &["AcqRel", "none"],
            "AcqRel" => &["Acquire", "Release", "Relaxed"],
            _ => &["Relaxed"],
        }
    }
}

/// A rule that the source breaks, in words.
#[derive(Debug)]
pub(crate) struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// All sites, sorted by name. An error reports an ordering outside the macros, a macro that cannot
/// be read, a name that is used twice, and a site that is not in the ordering table.
pub(crate) fn scan(root: &Path) -> Result<Vec<Site>, Box<dyn std::error::Error>> {
    let table = std::fs::read_to_string(root.join(TABLE)).map_err(|e| format!("{TABLE}: {e}"))?;
    let source = root.join("src");
    let mut sites: Vec<Site> = Vec::new();
    for path in files(&source)? {
        let file = path.strip_prefix(&source)?.to_string_lossy();
        let file = file.replace(std::path::MAIN_SEPARATOR, "/");
        if path.extension().is_none_or(|e| e != "rs") || SYNC.contains(&&*file) {
            continue;
        }
        let source = std::fs::read_to_string(&path)?;
        let code = code(&source);
        check_plain(&file, &code)?;
        sites.extend(sites_of(&file, &code.join(" "))?);
    }
    sites.sort_by(|a, b| a.name.cmp(&b.name));
    for pair in sites.windows(2) {
        if pair[0].name == pair[1].name {
            let (name, a, b) = (&pair[0].name, &pair[0].file, &pair[1].file);
            return Err(Wrong(format!("the site {name} stands twice: in {a} and in {b}")).into());
        }
    }
    for Site { name, row, .. } in &sites {
        let rows = table
            .lines()
            .filter(|l| l.starts_with(&format!("| {row} |")));
        if rows.filter(|l| l.contains(&format!("`{name}`"))).count() != 1 {
            return Err(Wrong(format!("the site {name} is not in row {row} of {TABLE}")).into());
        }
    }
    Ok(sites)
}

/// All files under a folder.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut folders = vec![folder.to_path_buf()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    Ok(files)
}

/// The lines without their comments.
fn code(source: &str) -> Vec<&str> {
    let lines = source.lines();
    lines
        .map(|l| l.split("//").next().unwrap_or_default())
        .collect()
}

fn check_plain(file: &str, code: &[&str]) -> Result<(), Wrong> {
    for (number, line) in code.iter().enumerate() {
        for banned in BANNED {
            if line.contains(banned) {
                let number = number + 1;
                return Err(Wrong(format!(
                    "{file}:{number}: `{banned}` outside of ord! and fence!"
                )));
            }
        }
    }
    Ok(())
}

fn sites_of(file: &str, code: &str) -> Result<Vec<Site>, Wrong> {
    let mut sites = Vec::new();
    for (start, fence) in [("ord!(", false), ("fence!(", true)] {
        for rest in code.split(start).skip(1) {
            let arguments = rest.split(')').next().unwrap_or_default();
            let parts: Vec<_> = arguments.split(',').map(str::trim).collect();
            let (name, row, ordering) = match (fence, parts.as_slice()) {
                (false, ["Relaxed"]) => continue,
                (false, &[name, row, ordering]) => (name, row, ordering),
                (true, &[name, row]) => (name, row, "fence"),
                _ => return Err(Wrong(format!("{file}: cannot read {start}{arguments})"))),
            };
            sites.push(Site {
                name: name.trim_matches('"').to_owned(),
                row: row.to_owned(),
                ordering: ordering.to_owned(),
                file: file.to_owned(),
            });
        }
    }
    Ok(sites)
}
