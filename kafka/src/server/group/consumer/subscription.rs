//! The topics that a group subscribes to, as it last saw them.

use super::super::assignor::Partitions;
use super::member::{Member, Subscription};
use crate::server::topics::Topics;
use regex::{Regex, RegexBuilder};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// How long a pattern may be: many times a topic's name. To parse one takes far more memory.
const PATTERN_TEXT_BYTES: usize = 4096;
/// How large a compiled pattern may be. A class of all letters takes some tens of kilobytes.
const PATTERN_BYTES: usize = 1 << 18;
/// How much memory a pattern keeps for matching.
const PATTERN_CACHE_BYTES: usize = 1 << 16;

/// A topic, as the group last saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SeenTopic {
    id: Uuid,
    partitions: u32,
}

/// What the members of a group subscribe to.
#[derive(Debug, Default)]
pub(super) struct SubscribedTopics {
    names: BTreeSet<String>,
    patterns: BTreeMap<String, MatchedPattern>,
    /// The topics that exist, by name.
    seen: BTreeMap<String, SeenTopic>,
    /// The names of all topics when the patterns were matched.
    all_names: Vec<String>,
}

#[derive(Debug)]
struct MatchedPattern {
    pattern: Regex,
    names: BTreeSet<String>,
}

impl MatchedPattern {
    fn new(pattern: Regex, all_names: &[String]) -> MatchedPattern {
        let mut new = MatchedPattern {
            pattern,
            names: BTreeSet::new(),
        };
        new.match_all(all_names);
        new
    }

    fn match_all(&mut self, all_names: &[String]) {
        let matched = all_names.iter().filter(|name| self.pattern.is_match(name));
        self.names = matched.cloned().collect();
    }
}

/// Compiles a pattern for whole names. Its syntax is RE2's, which Kafka has, too.
///
/// An error is why it is none.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_TEXT_BYTES {
        return Err(format!("it is longer than {PATTERN_TEXT_BYTES} bytes"));
    }
    let build = |pattern: &str| {
        let built = RegexBuilder::new(pattern)
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_CACHE_BYTES)
            .build();
        built.map_err(|error| {
            // The lines before the last show the place.
            let error = error.to_string();
            let cause = error.lines().last().unwrap_or_default();
            cause.trim_start_matches("error: ").to_owned()
        })
    };
    // By itself first: a stray parenthesis must not close the group that anchors it.
    let quoted = quote_literals(pattern);
    build(&quoted)?;
    build(&format!(r"\A(?:{quoted})\z"))
}

/// Replaces RE2's `\Q...\E`, which the crate lacks, by the escaped text.
fn quote_literals(pattern: &str) -> String {
    let mut quoted = String::new();
    let mut rest = pattern;
    while let Some(position) = rest.find('\\') {
        let (before, escape) = rest.split_at(position);
        quoted.push_str(before);
        if let Some(literal) = escape.strip_prefix(r"\Q") {
            let (literal, after) = literal.split_once(r"\E").unwrap_or((literal, ""));
            quoted.push_str(&regex::escape(literal));
            rest = after;
        } else {
            let end = escape
                .char_indices()
                .nth(2)
                .map_or(escape.len(), |(end, _)| end);
            quoted.push_str(&escape[..end]);
            rest = &escape[end..];
        }
    }
    quoted + rest
}

impl SubscribedTopics {
    /// Whether members already subscribe by this pattern.
    pub(super) fn has_pattern(&self, pattern: &str) -> bool {
        self.patterns.contains_key(pattern)
    }

    pub(super) fn add_pattern(&mut self, text: &str, pattern: Regex) {
        let pattern = MatchedPattern::new(pattern, &self.all_names);
        self.patterns.insert(text.to_owned(), pattern);
    }

    /// Takes over the subscriptions of all members, whose patterns were added.
    pub(super) fn retain_subscribed<'a>(&mut self, members: impl Iterator<Item = &'a Member>) {
        let mut patterns = BTreeSet::new();
        self.names.clear();
        for member in members {
            self.names.extend(member.subscription.names.iter().cloned());
            patterns.insert(member.subscription.pattern.as_str());
        }
        self.patterns
            .retain(|text, _| patterns.contains(text.as_str()));
        let (names, patterns) = (&self.names, &self.patterns);
        self.seen.retain(|name, _| {
            let is_matched = |pattern: &MatchedPattern| pattern.names.contains(name);
            names.contains(name) || patterns.values().any(is_matched)
        });
    }

    /// The topics that are subscribed to, and exist.
    pub(super) fn subscribed(&self) -> BTreeSet<String> {
        self.seen.keys().cloned().collect()
    }

    /// Looks at the topics. Returns whether any that is subscribed to has changed.
    pub(super) fn refresh(&mut self, topics: &Topics) -> bool {
        if !self.patterns.is_empty() {
            let all_names = topics.names();
            if all_names != self.all_names {
                for pattern in self.patterns.values_mut() {
                    pattern.match_all(&all_names);
                }
                self.all_names = all_names;
            }
        }
        let matched = self.patterns.values().flat_map(|pattern| &pattern.names);
        let names: BTreeSet<&String> = self.names.iter().chain(matched).collect();
        let found = names.into_iter().filter_map(|name| {
            let topic = topics.find(name)?;
            let seen = SeenTopic {
                id: topic.id,
                partitions: topic.topic.partitions(),
            };
            Some((name.clone(), seen))
        });
        let found: BTreeMap<String, SeenTopic> = found.collect();
        let changed = found != self.seen;
        self.seen = found;
        changed
    }

    /// The number of partitions of each topic.
    pub(super) fn partition_counts(&self) -> BTreeMap<Uuid, u32> {
        let seen = self.seen.values();
        seen.map(|topic| (topic.id, topic.partitions)).collect()
    }

    /// All partitions of the topics that are subscribed to.
    pub(super) fn all_partitions(&self) -> Partitions {
        let topics = self.seen.values();
        let numbers = topics.flat_map(|topic| (0..topic.partitions).map(|n| (topic.id, n as i32)));
        numbers.collect()
    }

    /// The topics of a subscription that exist.
    pub(super) fn matched_by(&self, subscription: &Subscription) -> BTreeSet<Uuid> {
        let matched = self.patterns.get(&subscription.pattern);
        let matched = matched.into_iter().flat_map(|pattern| &pattern.names);
        let names = subscription.names.iter().chain(matched);
        let found = names.filter_map(|name| self.seen.get(name));
        found.map(|topic| topic.id).collect()
    }

    /// Partitions of topics that are subscribed to and exist, by the topics' ids.
    pub(super) fn with_ids(&self, named: &[(String, Vec<i32>)]) -> Partitions {
        let known = named.iter().filter_map(|(name, numbers)| {
            let topic = self.seen.get(name)?.id;
            Some(numbers.iter().map(move |number| (topic, *number)))
        });
        known.flatten().collect()
    }

    pub(super) fn names_by_id(&self) -> HashMap<Uuid, &str> {
        let seen = self.seen.iter();
        seen.map(|(name, topic)| (topic.id, name.as_str()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names() {
        for (pattern, name, matches) in [
            ("orders", "orders", true),
            ("orders", "orders-2", false),
            ("a|b", "ab", false),
            ("^orders$", "orders", true),
            (r"\Qa.b\E.*", "a.b-c", true),
            (r"\Qa.b\E.*", "axb-c", false),
            (r"\Qa.b", "a.b", true),
            (r"\\Qx", r"\Qx", true),
            (r"\pL+", "orders", true),
            ("(?i)ORDERS", "orders", true),
        ] {
            let compiled = compile(pattern).unwrap();
            assert_eq!(compiled.is_match(name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_that_is_wrong_or_too_large_is_refused() {
        for pattern in [
            "(",
            ")",
            "a)(b",
            r"(a)\1",
            "(?=a)",
            r"\C",
            "((a{1000}){1000})",
        ] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }
}
