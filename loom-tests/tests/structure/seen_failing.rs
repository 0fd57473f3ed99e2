//! Every rule is seen to pass and to fail, over small made-up trees.

use crate::checker::{self, Fault, Tree};

/// A tree of these files, with a map that lists them.
fn tree(files: &[(&str, &str)]) -> Tree {
    let rows = files.iter().map(|(path, _)| format!("| 0 | `{path}` |\n"));
    tree_with_map(files, &rows.collect::<String>())
}

fn tree_with_map(files: &[(&str, &str)], rows: &str) -> Tree {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    std::fs::create_dir(folder.path().join("src")).unwrap();
    for (path, text) in files {
        write(&format!("src/{path}"), text);
    }
    let docs = format!("# Architecture\n\n## Map\n\n{rows}\n## Memory\n\n`no/file.rs`\n");
    write("docs/architecture.md", &docs);
    Tree::read(folder.path()).unwrap()
}

fn shown(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(Fault::to_string).collect()
}

/// The faults of one file's imports, beside files that they can lead to.
fn imports_of(path: &str, text: &str) -> Vec<String> {
    let mut files = vec![
        ("lib.rs", "mod broker;\npub use broker::Broker;"),
        ("broker.rs", "pub struct Broker;"),
        ("record.rs", "pub struct Record;"),
        ("clock.rs", "pub fn now() {}"),
        (
            "log/mod.rs",
            "pub(crate) mod segment;\npub(crate) mod cursor;",
        ),
        ("log/overflow.rs", ""),
        ("log/counters.rs", ""),
        ("log/segment/mod.rs", "pub(crate) mod claim;"),
        ("log/segment/claim.rs", "pub struct FrameClaim;"),
        ("log/cursor/mod.rs", "pub struct Cursor;"),
        ("topic/mod.rs", "pub(crate) mod config;\npub struct Topic;"),
        ("topic/config.rs", "pub struct TopicConfig;"),
        ("producer/mod.rs", "pub struct Producer;"),
        ("group/mod.rs", "pub struct Group;"),
        ("consumer/mod.rs", "pub struct Consumer;"),
    ];
    files.retain(|(other, _)| *other != path);
    files.push((path, text));
    shown(&checker::imports(&tree(&files)))
}

#[track_caller]
fn refused(path: &str, text: &str, expected: &[&str]) {
    let expected: Vec<String> = expected.iter().map(|e| format!("src/{path}{e}")).collect();
    assert_eq!(imports_of(path, text), expected);
}

#[track_caller]
fn accepted(path: &str, text: &str) {
    refused(path, text, &[]);
}

// ---- imports ----------------------------------------------------------------------------

#[test]
fn imports_that_point_down_pass() {
    accepted(
        "topic/config.rs",
        "use super::Topic;
         use crate::{record::Record, log::{self, cursor::Cursor, segment}};
         fn f(_: &crate::clock::Time, _: log::segment::claim::FrameClaim) {
             segment::claim::FrameClaim::new();
             std::mem::drop(self::inner::X);
         }
         mod inner { use super::*; pub struct X; fn g() -> Option<Cursor> { None } }",
    );
    accepted("lib.rs", "use crate::broker::Broker; pub use topic::Topic;");
    accepted(
        "consumer/mod.rs",
        "use crate::{group::Group, producer::Producer};",
    );
}

#[test]
fn a_part_imports_its_own_members() {
    accepted("record.rs", "use crate::clock::now;");
    accepted("log/overflow.rs", "use super::counters::X;");
    accepted(
        "log/segment/claim.rs",
        "use crate::log::segment::Y; use super::Z;",
    );
}

#[test]
fn an_upward_use_fails() {
    refused(
        "topic/config.rs",
        "use crate::{record::Record, consumer::{Consumer,\n other}};",
        &[
            ":1: `crate::consumer::Consumer` points up: topic (layer 10) may not import consumer \
             (layer 12)",
            ":2: `crate::consumer::other` points up: topic (layer 10) may not import consumer \
             (layer 12)",
        ],
    );
}

#[test]
fn an_upward_path_in_code_fails() {
    let cases = [
        "fn f(_: &crate::group::Group) {}",
        "fn f() { crate::group::Group::new(); }",
        "fn f(x: u8) { match x { crate::group::Group::X => {} } }",
        "fn f<T: crate::group::Group>() {}",
        "impl crate::group::Group for X {}",
        "fn f() { <crate::group::Group as Clone>::clone(); }",
        "fn f() { use crate::group::Group; }",
        "type X = Vec<crate::group::Group>;",
        "mod inner { fn f() { crate::group::Group::new(); } }",
        "#[cfg(test)] mod tests { use crate::group::Group; }",
    ];
    for case in cases {
        let faults = imports_of("topic/mod.rs", case);
        assert_eq!(faults.len(), 1, "{case}: {faults:?}");
        assert!(faults[0].starts_with("src/topic/mod.rs:1: `crate::group::Group"));
        assert!(faults[0].ends_with("points up: topic (layer 10) may not import group (layer 11)"));
    }
}

#[test]
fn an_upward_path_by_super_fails() {
    let reason = "points up: log/segment (layer 4) may not import";
    let topic = format!(":1: `super::super::super::topic::Topic` {reason} topic (layer 10)");
    let cursor = format!(":2: `super::super::cursor::Cursor` {reason} log/cursor (layer 8)");
    refused(
        "log/segment/claim.rs",
        "use super::super::super::topic::Topic;
         fn f(_: super::super::cursor::Cursor) {}",
        &[&topic, &cursor],
    );
    refused(
        "log/overflow.rs",
        "mod tests { use super::super::cursor; }",
        &[
            ":1: `super::super::cursor` points up: log/overflow (layer 3) may not import \
             log/cursor (layer 8)",
        ],
    );
}

#[test]
fn an_upward_path_by_an_alias_fails() {
    let reason = "points up: topic (layer 10) may not import";
    refused(
        "topic/mod.rs",
        "use crate::group as g;
         fn f(_: g::Group) {}
         mod inner { use super::*; fn f(_: g::Group) {} }",
        &[
            &format!(":1: `crate::group` {reason} group (layer 11)"),
            &format!(":2: `g::Group` {reason} group (layer 11)"),
            &format!(":3: `g::Group` {reason} group (layer 11)"),
        ],
    );
    refused(
        "log/segment/claim.rs",
        "use crate::log;
         fn f(_: log::cursor::Cursor) {}",
        &[
            ":2: `log::cursor::Cursor` points up: log/segment (layer 4) may not import log/cursor \
             (layer 8)",
        ],
    );
    refused(
        "topic/mod.rs",
        "use crate as root;
         extern crate self as it;",
        &[
            &format!(":1: `crate` {reason} lib (layer 15)"),
            &format!(":2: `crate` {reason} lib (layer 15)"),
        ],
    );
}

#[test]
fn a_reexport_of_the_root_fails() {
    for (text, path) in [
        ("use crate::Broker;", "crate::Broker"),
        ("use crate::*;", "crate::*"),
        ("fn f(_: crate::Record) {}", "crate::Record"),
    ] {
        let expected =
            format!(":1: `{path}` points up: consumer (layer 12) may not import lib (layer 15)");
        refused("consumer/mod.rs", text, &[&expected]);
    }
}

#[test]
fn producer_and_group_do_not_import_each_other() {
    let reason = "points sideways: producer (layer 11) may not import group (layer 11)";
    refused(
        "producer/mod.rs",
        "use crate::group::Group;",
        &[&format!(":1: `crate::group::Group` {reason}")],
    );
    let reason = "points sideways: group (layer 11) may not import producer (layer 11)";
    refused(
        "group/mod.rs",
        "fn f(_: super::producer::Producer) {}",
        &[&format!(":1: `super::producer::Producer` {reason}")],
    );
}

#[test]
fn an_upward_path_inside_a_macro_fails() {
    let reason = "points up: topic (layer 10) may not import";
    refused(
        "topic/mod.rs",
        "macro_rules! m { ($x:ident) => { $x::y(); $crate::group::Group::new() } }
         fn f() { assert!(vec![crate::consumer::Consumer].is_empty()); }
         thread_local! { static X: u8 = { use crate::{broker, consumer::Consumer}; 0 }; }
         #[derive(crate::group::Group)] struct S;",
        &[
            &format!(":1: `crate::group::Group::new` {reason} group (layer 11)"),
            &format!(":2: `crate::consumer::Consumer` {reason} consumer (layer 12)"),
            &format!(":3: `crate::broker` {reason} broker (layer 14)"),
            &format!(":3: `crate::consumer::Consumer` {reason} consumer (layer 12)"),
            &format!(":4: `crate::group::Group` {reason} group (layer 11)"),
        ],
    );
}

#[test]
fn doc_links_visibility_and_other_crates_are_no_imports() {
    accepted(
        "topic/mod.rs",
        "//! See [`crate::Broker`].
         /// As [`Consumer`](crate::consumer::Consumer).
         pub(in crate::topic) fn f(x: consumer::Consumer, y: ::broker::Broker) {
             let group = x.group::<u8>();
         }
         use loom::sync::Arc;",
    );
}

#[test]
fn a_name_of_the_folder_of_layers_fails() {
    let reason = "is a name of `log`, which only holds layers";
    refused(
        "topic/mod.rs",
        "use crate::log::Name;\nuse crate::log::*;",
        &[
            &format!(":1: `crate::log::Name` {reason}"),
            &format!(":2: `crate::log::*` {reason}"),
        ],
    );
    refused(
        "log/mod.rs",
        "use self::segment::claim::FrameClaim;",
        &[
            ":1: `self::segment::claim::FrameClaim` points up: log (layer 0) may not import \
           log/segment (layer 4)",
        ],
    );
}

#[test]
fn a_file_of_no_layer_fails() {
    let faults = imports_of("log/other.rs", "");
    assert_eq!(faults, ["src/log/other.rs: belongs to no layer"]);
    refused(
        "topic/mod.rs",
        "#[path = \"../group/mod.rs\"] mod group;",
        &[":1: `#[path]` hides the file's place in the tree"],
    );
}

// ---- unsafe code ------------------------------------------------------------------------

fn unsafe_in(path: &str, text: &str) -> Vec<String> {
    shown(&checker::unsafe_code(&tree(&[
        ("lib.rs", ""),
        (path, text),
    ])))
}

#[test]
fn unsafe_code_in_the_listed_files_passes() {
    let text = "#![allow(unsafe_code)] unsafe fn f() { unsafe { g() } }";
    for path in [
        "clock.rs",
        "sync/epoch.rs",
        "log/segment/mod.rs",
        "log/segment/memory/heap.rs",
    ] {
        assert!(unsafe_in(path, text).is_empty());
    }
    let plain = "//! No unsafe code.\n#![deny(unsafe_code)] #![forbid(unsafe_code)]
         fn f() { \"unsafe\"; } // unsafe";
    assert!(unsafe_in("broker.rs", plain).is_empty());
}

#[test]
fn stray_unsafe_code_fails() {
    let cases = [
        "fn f() { unsafe { g() } }",
        "unsafe fn f() {}",
        "impl X { unsafe fn f() {} }",
        "unsafe impl Send for X {}",
        "unsafe trait X {}",
        "unsafe extern \"C\" {}",
        "fn f() { m!(unsafe { g() }); }",
        "macro_rules! m { () => { unsafe {} } }",
    ];
    for case in cases {
        for path in ["log/segment/state.rs", "sync/mod.rs", "log/holds.rs"] {
            let fault = format!("src/{path}:1: `unsafe` outside the files that may use it");
            assert_eq!(unsafe_in(path, case), [fault], "{case}");
        }
    }
    for case in [
        "#![allow(unsafe_code)]",
        "\n#[allow(dead_code, unsafe_code)] fn f() {}",
        "#![cfg_attr(loom, allow(unsafe_code))]",
        "#[expect(unsafe_code)] fn f() {}",
        "#[warn(unsafe_code)] fn f() {}",
    ] {
        let faults = unsafe_in("topic/shared.rs", case);
        assert_eq!(faults.len(), 1, "{case}");
        assert!(faults[0].contains("`unsafe_code` outside"), "{faults:?}");
    }
}

// ---- the map ----------------------------------------------------------------------------

#[test]
fn a_complete_map_passes() {
    let rows = "| 0 | `a.rs`, `b/mod.rs` | of `b`, by `S1` |\n| 1 | `lib.rs` |\n";
    let files = [("lib.rs", ""), ("a.rs", ""), ("b/mod.rs", "")];
    assert!(checker::map(&tree_with_map(&files, rows)).is_empty());
}

#[test]
fn an_unlisted_file_fails() {
    let files = [("lib.rs", ""), ("b/mod.rs", "")];
    let faults = checker::map(&tree_with_map(&files, "| 0 | `lib.rs`, `mod.rs` |\n"));
    let expected = [
        "src/b/mod.rs: the map of docs/architecture.md does not list `b/mod.rs`",
        "docs/architecture.md: the map lists `mod.rs`, which does not exist in src/",
    ];
    assert_eq!(shown(&faults), expected);
}

#[test]
fn a_listed_file_that_is_missing_fails() {
    let faults = checker::map(&tree_with_map(&[("lib.rs", "")], "`lib.rs`, `gone.rs`\n"));
    let expected = ["docs/architecture.md: the map lists `gone.rs`, which does not exist in src/"];
    assert_eq!(shown(&faults), expected);
}

#[test]
fn docs_without_a_map_fail() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::create_dir(folder.path().join("docs")).unwrap();
    std::fs::write(folder.path().join("docs/architecture.md"), "# Maps\n").unwrap();
    let faults = checker::map(&Tree::read(folder.path()).unwrap());
    assert_eq!(
        shown(&faults),
        ["docs/architecture.md: has no section `## Map`"]
    );
}

// ---- names ------------------------------------------------------------------------------

fn names_in(path: &str, text: &str) -> Vec<String> {
    shown(&checker::names(&tree(&[("lib.rs", ""), (path, text)])))
}

#[test]
fn names_of_the_field_pass() {
    let text = "struct LaneCount; enum Timestamps { Given, Now } fn run() { let place = 1; }
         mod lanes {} use x::Seat; mod tests { type AssignedPartition = u8; }";
    assert!(names_in("producer/appender.rs", text).is_empty());
}

#[test]
fn a_name_of_the_old_vocabulary_fails() {
    for (text, what) in [
        ("struct Lane;", "`Lane` is no name for a type"),
        ("enum How {}", "`How` is no name for a type"),
        ("trait Pace {}", "`Pace` is no name for a type"),
        ("type Words = u8;", "`Words` is no name for a type"),
        ("use x::Y as Assigned;", "`Assigned` is no name for a type"),
        (
            "mod tests { union Run { a: u8 } }",
            "`Run` is no name for a type",
        ),
        ("mod place {}", "`place` is no name for a module"),
        ("fn lane() {}", "`lane` is no name for a function"),
        (
            "impl X { fn seat(&self) {} }",
            "`seat` is no name for a function",
        ),
    ] {
        let expected = format!("src/topic/mod.rs:1: {what}");
        assert_eq!(names_in("topic/mod.rs", text), [expected], "{text}");
    }
    let expected = "src/group/tenure.rs: `tenure` is no name for a module";
    assert_eq!(names_in("group/tenure.rs", ""), [expected]);
}
