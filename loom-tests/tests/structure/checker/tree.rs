//! A source tree, read and parsed.

use std::fmt;
use std::path::Path;

/// A place that breaks a rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Fault {
    /// Relative to the root of the tree.
    file: String,
    /// Counted from 1; zero means the file as a whole.
    line: usize,
    what: String,
}

impl Fault {
    pub(super) fn at(file: &SourceFile, line: usize, what: String) -> Fault {
        let file = format!("src/{}", file.path);
        Fault { file, line, what }
    }

    pub(super) fn of(file: &str, what: String) -> Fault {
        let (file, line) = (file.to_owned(), 0);
        Fault { file, line, what }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what),
            line => write!(f, "{}:{line}: {}", self.file, self.what),
        }
    }
}

/// One file of `src/`.
pub(crate) struct SourceFile {
    /// Relative to `src/`, with `/` between its parts.
    pub(super) path: String,
    /// Its module: `["log", "segment"]` for `log/segment/mod.rs`, empty for `lib.rs`.
    pub(super) module: Vec<String>,
    pub(super) text: String,
    pub(super) syntax: syn::File,
}

/// The source of a crate, and the text of its `docs/architecture.md`.
pub(crate) struct Tree {
    files: Vec<SourceFile>,
    pub(super) architecture: String,
}

impl Tree {
    /// Reads `src/` and `docs/architecture.md` under `root`.
    pub(crate) fn read(root: &Path) -> Result<Tree, Box<dyn std::error::Error>> {
        let source = root.join("src");
        let mut files = Vec::new();
        let mut folders = vec![source.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    files.push(SourceFile::read(&source, &path)?);
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let architecture = std::fs::read_to_string(root.join("docs/architecture.md"))
            .map_err(|e| format!("docs/architecture.md: {e}"))?;
        Ok(Tree {
            files,
            architecture,
        })
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter()
    }
}

impl SourceFile {
    fn read(source: &Path, path: &Path) -> Result<SourceFile, Box<dyn std::error::Error>> {
        let text = std::fs::read_to_string(path)?;
        let relative = path.strip_prefix(source)?.to_string_lossy();
        let syntax = syn::parse_file(&text)
            .map_err(|e| format!("src/{relative}:{}: {e}", e.span().start().line))?;
        let relative = relative.replace('\\', "/");
        let module = module_of(&relative);
        Ok(SourceFile {
            path: relative,
            module,
            text,
            syntax,
        })
    }
}

/// The module of a file, by where it lies.
fn module_of(path: &str) -> Vec<String> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" {
        return Vec::new();
    }
    path.split('/').map(str::to_owned).collect()
}
