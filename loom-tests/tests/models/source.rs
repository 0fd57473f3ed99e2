//! The source keeps its orderings where the models can reach them.

#[path = "../../src/bin/ordering-mutants/sites.rs"]
mod sites;

use std::path::Path;

#[test]
fn every_ordering_is_a_named_site_and_in_the_table_of_the_design() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sites = sites::scan(&root).unwrap();
    assert!(sites.len() > 15, "{sites:?}");
    assert!(sites.iter().all(|site| !site.weaker().is_empty()));
}
