//! The rule: `unsafe` stands only in the listed files.

use super::tokens::each_ident;
use super::tree::{Fault, Tree};
use proc_macro2::{TokenStream, TokenTree};

/// The files that may use `unsafe`, and that say so at their head.
const FILES: [&str; 11] = [
    "clock.rs",
    "sync/epoch.rs",
    "sync/loom.rs",
    "wait/asymmetric_fence.rs",
    "log/segment/mod.rs",
    "disk/mapping.rs",
    "log/files/chunk.rs",
    "log/segment/chunk.rs",
    "log/segment/claim.rs",
    "log/segment/records.rs",
    "log/segment/values.rs",
];

/// Every file of this folder may as well.
const FOLDER: &str = "log/segment/memory/";

/// Finds the keyword, also inside macros, and every attribute that lifts the lint.
pub(crate) fn unsafe_code(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in tree.files() {
        if FILES.contains(&&*file.path) || file.path.starts_with(FOLDER) {
            continue;
        }
        let tokens: TokenStream = file.text.parse().unwrap();
        let tokens = without_denials(tokens);
        each_ident(tokens, &mut |ident| {
            if ident == "unsafe" || ident == "unsafe_code" {
                let line = ident.span().start().line;
                let what = format!("`{ident}` outside the files that may use it");
                faults.push(Fault::at(file, line, what));
            }
        });
    }
    faults
}

/// The tokens without the arguments of `deny(..)` and `forbid(..)`.
fn without_denials(tokens: TokenStream) -> TokenStream {
    let mut kept: Vec<TokenTree> = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let denied = matches!(
                    kept.last(),
                    Some(TokenTree::Ident(name)) if name == "deny" || name == "forbid"
                );
                if !denied {
                    let inner = without_denials(group.stream());
                    kept.push(proc_macro2::Group::new(group.delimiter(), inner).into());
                }
            }
            other => kept.push(other),
        }
    }
    kept.into_iter().collect()
}
