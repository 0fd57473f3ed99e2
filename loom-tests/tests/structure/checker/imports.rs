//! The rule: imports point down. A file imports its own part of a layer, and lower layers.
//!
//! An import is any path that leaves the file's part: in `use`, in code, and in the tokens of
//! macros and attributes. It counts where it leads in the module tree, so a name that `lib.rs`
//! re-exports belongs to the root.

use super::layers::{CONTAINER, Part};
use super::modules::{Modules, Target, Written};
use super::tree::{Fault, SourceFile, Tree};

pub(crate) fn imports(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in tree.files() {
        if Part::of(&file.module).is_none() {
            faults.push(Fault::at(file, 0, "belongs to no layer".to_owned()));
        }
    }
    let modules = Modules::of(tree);
    for (path, module) in modules.iter() {
        for &line in &module.redirected {
            let what = "`#[path]` hides the file's place in the tree".to_owned();
            faults.push(Fault::at(module.file, line, what));
        }
        for (written, target) in modules.targets(path) {
            faults.extend(judge(module.file, written, &target));
        }
    }
    faults.sort();
    faults.dedup();
    faults
}

fn judge(file: &SourceFile, written: &Written, target: &Target) -> Option<Fault> {
    let from = Part::of(&file.module)?;
    let text = written.segments.join("::") + if written.glob { "::*" } else { "" };
    let fault = |reason: &str| Some(Fault::at(file, written.line, format!("`{text}` {reason}")));
    let in_container = target.module == [CONTAINER];
    if in_container && file.module != [CONTAINER] {
        // The bare module is only a name for paths that are checked themselves.
        let names = target.item || written.glob;
        return names.then(|| fault("is a name of `log`, which only holds layers"))?;
    }
    let Some(to) = Part::of(&target.module) else {
        return fault("leads to no layer");
    };
    if from.may_import(to) {
        return None;
    }
    let (here, there) = (shown(from, &file.module), shown(to, &target.module));
    let how = if to.layer == from.layer {
        "points sideways"
    } else {
        "points up"
    };
    fault(&format!("{how}: {here} may not import {there}"))
}

/// A part as messages name it: `group (layer 10)`.
fn shown(part: &Part, module: &[String]) -> String {
    let path = if module.is_empty() {
        "lib".to_owned()
    } else {
        module.join("/")
    };
    let name = part.member(&path).unwrap_or_default();
    format!("{name} (layer {})", part.layer)
}
