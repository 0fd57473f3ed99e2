//! Every ordering of the source is a named site, so that the models and the mutants can reach it.

#[path = "../../src/bin/ordering-mutants/sites.rs"]
mod sites;

use std::path::Path;

#[test]
fn every_ordering_is_a_named_site_of_the_ordering_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sites = sites::scan(&root).unwrap();
    assert!(sites.len() > 15, "{sites:?}");
    assert!(sites.iter().all(|site| !site.weaker().is_empty()));
}
