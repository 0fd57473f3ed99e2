//! The module tree: what each module declares, imports and mentions, and where paths lead.

use super::tokens;
use super::tree::{SourceFile, Tree};
use std::collections::BTreeMap;
use syn::visit::{self, Visit};

/// A path as it is written, without its generic arguments.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) segments: Vec<String>,
    /// It ends in `::*`.
    pub(super) glob: bool,
    pub(super) line: usize,
}

/// One module, of a file or inline.
pub(super) struct Module<'a> {
    pub(super) file: &'a SourceFile,
    /// The names that `use` declares, each with its path.
    imports: Vec<(Option<String>, Written)>,
    /// Paths in code and macros.
    mentions: Vec<Written>,
    /// The lines of attributes `#[path = ..]`, which this tree does not follow.
    pub(super) redirected: Vec<usize>,
}

/// Where a path leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    pub(super) module: Vec<String>,
    /// It names something in the module, rather than the module.
    pub(super) item: bool,
}

/// All modules of a crate, by their paths.
pub(super) struct Modules<'a>(BTreeMap<Vec<String>, Module<'a>>);

/// More aliases of aliases than any source has.
const MAX_ALIASES: usize = 16;

impl<'a> Modules<'a> {
    pub(super) fn of(tree: &'a Tree) -> Modules<'a> {
        let mut modules = Modules(BTreeMap::new());
        for file in tree.files() {
            let mut reader = Reader {
                modules: &mut modules,
                file,
                module: file.module.clone(),
            };
            reader.current();
            reader.visit_file(&file.syntax);
        }
        modules
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Vec<String>, &Module<'a>)> {
        self.0.iter()
    }

    /// The paths of a module that may leave it, each with its target.
    pub(super) fn targets(&self, module: &[String]) -> Vec<(&Written, Target)> {
        let Some(here) = self.0.get(module) else {
            return Vec::new();
        };
        let imports = here.imports.iter().map(|(_, written)| written);
        let imports = imports.filter_map(|w| Some((w, self.resolve(module, &w.segments)?)));
        let mentions = here.mentions.iter();
        let mentions = mentions.filter_map(|w| Some((w, self.mention(module, &w.segments)?)));
        imports.chain(mentions).collect()
    }

    /// Where a path in code leads. `None` if it begins with a name that stands for an item: then
    /// the `use` that declares the name is checked.
    fn mention(&self, from: &[String], segments: &[String]) -> Option<Target> {
        let target = self.name(from, segments.first()?, 0);
        if target.is_some_and(|target| target.item) {
            return None;
        }
        self.resolve(from, segments)
    }

    fn resolve(&self, from: &[String], segments: &[String]) -> Option<Target> {
        self.resolve_at(from, segments, 0)
    }

    fn resolve_at(&self, from: &[String], segments: &[String], depth: usize) -> Option<Target> {
        let (first, mut rest) = segments.split_first()?;
        let mut module = match first.as_str() {
            "crate" => Vec::new(),
            "self" => from.to_vec(),
            "super" => parent(from)?,
            name => {
                let target = self.name(from, name, depth)?;
                if target.item {
                    return Some(target);
                }
                target.module
            }
        };
        while let Some((next, others)) = rest.split_first() {
            if next == "super" {
                module = parent(&module)?;
            } else if next != "self" {
                let child = child(&module, next);
                if !self.0.contains_key(&child) {
                    break;
                }
                module = child;
            }
            rest = others;
        }
        let item = !rest.is_empty();
        Some(Target { module, item })
    }

    /// What a plain name stands for in a module: an import, a child, or a name of a glob import.
    fn name(&self, from: &[String], name: &str, depth: usize) -> Option<Target> {
        if depth > MAX_ALIASES {
            return None;
        }
        let here = self.0.get(from)?;
        let mut imports = here.imports.iter();
        let import = imports.find(|(alias, written)| {
            // `use x::x` names the other crate `x`, or a child, on its right side.
            alias.as_deref() == Some(name) && written.segments.first().is_some_and(|s| s != name)
        });
        if let Some((_, written)) = import {
            return self.resolve_at(from, &written.segments, depth + 1);
        }
        let child = child(from, name);
        if self.0.contains_key(&child) {
            return Some(Target {
                module: child,
                item: false,
            });
        }
        let globs = here.imports.iter().filter(|(_, written)| written.glob);
        globs
            .filter_map(|(_, written)| self.resolve_at(from, &written.segments, depth + 1))
            .filter(|target| !target.item && target.module != from)
            .find_map(|target| self.name(&target.module, name, depth + 1))
    }
}

fn parent(module: &[String]) -> Option<Vec<String>> {
    let (_, parent) = module.split_last()?;
    Some(parent.to_vec())
}

fn child(module: &[String], name: &str) -> Vec<String> {
    let mut child = module.to_vec();
    child.push(name.to_owned());
    child
}

/// Reads a file into its modules.
struct Reader<'m, 'a> {
    modules: &'m mut Modules<'a>,
    file: &'a SourceFile,
    module: Vec<String>,
}

impl<'a> Reader<'_, 'a> {
    fn current(&mut self) -> &mut Module<'a> {
        let entry = self.modules.0.entry(self.module.clone());
        entry.or_insert_with(|| Module {
            file: self.file,
            imports: Vec::new(),
            mentions: Vec::new(),
            redirected: Vec::new(),
        })
    }

    fn import(&mut self, name: Option<String>, segments: &[String], glob: bool, line: usize) {
        let segments = segments.to_vec();
        let written = Written {
            segments,
            glob,
            line,
        };
        self.current().imports.push((name, written));
    }

    /// Takes a `use` apart into its paths.
    fn import_tree(&mut self, tree: &syn::UseTree, prefix: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.import_tree(&path.tree, prefix);
                prefix.pop();
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import_tree(tree, prefix);
                }
            }
            syn::UseTree::Glob(glob) => {
                let line = glob.star_token.spans[0].start().line;
                self.import(None, prefix, true, line);
            }
            syn::UseTree::Name(name) => self.import_name(&name.ident, None, prefix),
            syn::UseTree::Rename(rename) => {
                self.import_name(&rename.ident, Some(&rename.rename), prefix);
            }
        }
    }

    fn import_name(&mut self, ident: &syn::Ident, alias: Option<&syn::Ident>, prefix: &[String]) {
        let mut segments = prefix.to_vec();
        // `use a::{self}` is `use a`.
        if ident != "self" || prefix.is_empty() {
            segments.push(ident.to_string());
        }
        let name = match alias {
            Some(alias) => Some(alias.to_string()),
            None => segments.last().cloned(),
        };
        self.import(name, &segments, false, ident.span().start().line);
    }

    fn tokens(&mut self, tokens: &proc_macro2::TokenStream) {
        let found = tokens::paths(tokens.clone());
        self.current()
            .mentions
            .extend(found.into_iter().map(|path| Written {
                segments: path.segments,
                glob: false,
                line: path.line,
            }));
    }
}

impl<'ast> Visit<'ast> for Reader<'_, '_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        item.attrs.iter().for_each(|a| self.visit_attribute(a));
        if let Some((_, items)) = &item.content {
            self.module.push(item.ident.to_string());
            self.current();
            items.iter().for_each(|item| self.visit_item(item));
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.import_tree(&item.tree, &mut Vec::new());
        }
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        if item.ident == "self" {
            let name = item.rename.as_ref().map(|(_, name)| name.to_string());
            let line = item.ident.span().start().line;
            self.import(name, &["crate".to_owned()], false, line);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let segments = path.segments.iter().map(|s| s.ident.to_string()).collect();
            let line = path.segments[0].ident.span().start().line;
            self.current().mentions.push(Written {
                segments,
                glob: false,
                line,
            });
        }
        visit::visit_path(self, path);
    }

    /// `pub(in path)` names a module that the item lies in: no import.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.tokens(&invocation.tokens);
        visit::visit_macro(self, invocation);
    }

    /// Doc comments are attributes too, and may name anything.
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        let name = attribute.path();
        if name.is_ident("path") {
            let line = attribute.pound_token.spans[0].start().line;
            self.current().redirected.push(line);
        }
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(&list.tokens);
        }
    }
}
