//! Token streams, where there is no syntax tree: inside macros and attributes.

use proc_macro2::{Delimiter, Ident, Spacing, TokenStream, TokenTree};

/// A path, also one of a single segment.
pub(super) struct TokenPath {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
}

/// Every identifier, also inside groups.
pub(super) fn each_ident(tokens: TokenStream, found: &mut impl FnMut(&Ident)) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => found(&ident),
            TokenTree::Group(group) => each_ident(group.stream(), found),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The paths in the tokens: identifiers joined by `::`, of which the last may be a group in
/// braces, as in `use`.
pub(super) fn paths(tokens: TokenStream) -> Vec<TokenPath> {
    let mut paths = Vec::new();
    collect(tokens, &[], &mut paths);
    paths
}

fn collect(tokens: TokenStream, prefix: &[String], paths: &mut Vec<TokenPath>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut i = 0;
    while i < tokens.len() {
        match &tokens[i] {
            TokenTree::Group(group) => {
                collect(group.stream(), &[], paths);
                i += 1;
            }
            TokenTree::Ident(first) if !continues(&tokens, i) => {
                let mut segments = prefix.to_vec();
                segments.push(first.to_string());
                let line = first.span().start().line;
                i += 1;
                let mut whole = true;
                while whole && joined(&tokens, i) {
                    match tokens.get(i + 2) {
                        Some(TokenTree::Ident(next)) => segments.push(next.to_string()),
                        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                            collect(group.stream(), &segments, paths);
                            whole = false;
                        }
                        _ => break,
                    }
                    i += 3;
                }
                if whole {
                    paths.push(TokenPath { segments, line });
                }
            }
            _ => i += 1,
        }
    }
}

/// Whether the identifier at `i` does not begin a path of this crate: it follows `::`, `.`, or a
/// `$` that does not make it `$crate`.
fn continues(tokens: &[TokenTree], i: usize) -> bool {
    let Some(TokenTree::Punct(before)) = i.checked_sub(1).and_then(|i| tokens.get(i)) else {
        return false;
    };
    match before.as_char() {
        ':' => i >= 2 && joined(tokens, i - 2),
        '.' => true,
        '$' => !matches!(&tokens[i], TokenTree::Ident(ident) if ident == "crate"),
        _ => false,
    }
}

/// Whether `::` stands at `i`.
fn joined(tokens: &[TokenTree], i: usize) -> bool {
    let colon = |i: usize| match tokens.get(i) {
        Some(TokenTree::Punct(punct)) if punct.as_char() == ':' => Some(punct.spacing()),
        _ => None,
    };
    colon(i) == Some(Spacing::Joint) && colon(i + 1).is_some()
}
