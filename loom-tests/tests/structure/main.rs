//! The structure of ringlog's source: imports point down the layers, `unsafe` stands in the listed
//! files, the map of `docs/architecture.md` is complete, and names are the field's.
//!
//! [`checker`] reads any tree of that shape. The tests of `seen_failing.rs` run it over small
//! made-up trees, so that every rule is seen to fail.
#![allow(clippy::unwrap_used, clippy::panic)]

mod checker;
mod seen_failing;

use checker::{Fault, Tree};
use std::path::Path;

/// ringlog's own source and docs.
fn ringlog() -> Tree {
    Tree::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap()
}

#[track_caller]
fn assert_none(faults: &[Fault]) {
    let list: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert!(list.is_empty(), "{}", list.join("\n"));
}

#[test]
fn the_tree_is_read() {
    assert!(ringlog().files().count() > 40);
}

#[test]
fn imports_point_down_the_layers() {
    assert_none(&checker::imports(&ringlog()));
}

#[test]
fn unsafe_code_stands_in_the_listed_files() {
    assert_none(&checker::unsafe_code(&ringlog()));
}

#[test]
fn the_map_lists_every_file_and_no_other() {
    assert_none(&checker::map(&ringlog()));
}

#[test]
fn no_name_is_of_the_old_vocabulary() {
    assert_none(&checker::names(&ringlog()));
}
