//! The rule: no type, module or function has a name of the old, private vocabulary.

use super::tree::{Fault, SourceFile, Tree};
use syn::visit::{self, Visit};

/// Names that no type and no renamed import may have.
const TYPES: [&str; 22] = [
    "Lane",
    "Sleepers",
    "Sleeper",
    "Grow",
    "Rotation",
    "Pace",
    "Assigned",
    "Seat",
    "Place",
    "Tenure",
    "Words",
    "Known",
    "Live",
    "Quick",
    "How",
    "Given",
    "Several",
    "Look",
    "Run",
    "Card",
    "Asked",
    "TopicInner",
];

/// Names that no module may have.
const MODULES: [&str; 13] = [
    "lane",
    "barrier",
    "sleepers",
    "head",
    "grow",
    "rotation",
    "pace",
    "assigned",
    "seat",
    "place",
    "tenure",
    "topic_inner",
    "given",
];

/// Names that no function may have.
const FUNCTIONS: [&str; 7] = [
    "lane", "sleeper", "sleepers", "rotation", "pace", "seat", "tenure",
];

pub(crate) fn names(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in tree.files() {
        let mut finder = Finder {
            file,
            faults: &mut faults,
        };
        if let Some(name) = file.module.last() {
            finder.check("a module", name, 0, &MODULES);
        }
        finder.visit_file(&file.syntax);
    }
    faults
}

struct Finder<'a> {
    file: &'a SourceFile,
    faults: &'a mut Vec<Fault>,
}

impl Finder<'_> {
    fn check(&mut self, kind: &str, name: &str, line: usize, refused: &[&str]) {
        if refused.contains(&name) {
            let what = format!("`{name}` is no name for {kind}");
            self.faults.push(Fault::at(self.file, line, what));
        }
    }

    fn declared_type(&mut self, name: &syn::Ident) {
        let line = name.span().start().line;
        self.check("a type", &name.to_string(), line, &TYPES);
    }

    fn declared_function(&mut self, name: &syn::Ident) {
        let line = name.span().start().line;
        self.check("a function", &name.to_string(), line, &FUNCTIONS);
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.declared_type(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.declared_type(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_union(&mut self, item: &'ast syn::ItemUnion) {
        self.declared_type(&item.ident);
        visit::visit_item_union(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.declared_type(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.declared_type(&item.ident);
        visit::visit_item_type(self, item);
    }

    fn visit_use_rename(&mut self, item: &'ast syn::UseRename) {
        self.declared_type(&item.rename);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        // A module of another file is checked with that file.
        if item.content.is_some() {
            let line = item.ident.span().start().line;
            self.check("a module", &item.ident.to_string(), line, &MODULES);
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.declared_function(&signature.ident);
        visit::visit_signature(self, signature);
    }
}
