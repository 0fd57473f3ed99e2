//! A regular expression over topic names.

use core::fmt;
use regex_lite::Regex;

/// A regular expression that a whole topic name has to match, as in Kafka's `subscribe(Pattern)`.
pub(crate) struct Pattern {
    source: Box<str>,
    /// `source`, anchored at both ends.
    anchored: Regex,
}

impl Pattern {
    /// Errors: why `source` is not a pattern.
    pub(crate) fn new(source: &str) -> Result<Pattern, String> {
        if source.is_empty() {
            return Err("it is empty, and no topic has an empty name".to_owned());
        }
        // By itself first: `a)|(b` is not a pattern, but would be one between parentheses.
        Regex::new(source).map_err(|error| error.to_string())?;
        // An alternative of the pattern is not to win because it matches a part of the name. So
        // the anchors are in the expression. In verbose mode the pattern may end in a comment,
        // which only a new line ends. (There, a new line matches nothing.)
        let anchored = Regex::new(&format!(r"\A(?:{source})\z"))
            .or_else(|_| Regex::new(&format!("\\A(?:{source}\n)\\z")))
            .map_err(|error| error.to_string())?;
        Ok(Pattern {
            source: source.into(),
            anchored,
        })
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.anchored.is_match(name)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.source).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let pattern = Pattern::new(pattern).unwrap();
        for name in matching {
            assert!(pattern.matches(name), "{pattern:?} does not match {name:?}");
        }
        for name in others {
            assert!(!pattern.matches(name), "{pattern:?} matches {name:?}");
        }
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        check(
            "orders",
            &["orders"],
            &["orders2", "my-orders", "order", ""],
        );
        check(
            "orders-.*",
            &["orders-", "orders-eu"],
            &["orders", "x-orders-eu"],
        );
        check("a|ab", &["a", "ab"], &["b", "abc", "ba"]);
        check("^a$|b", &["a", "b"], &["ab"]);
        check("(?i)orders", &["Orders"], &["order"]);
        check(".*", &["orders", "\u{e9}"], &[]);
        check("(?m)^a$", &["a"], &["a\nb", "b\na"]);
    }

    #[test]
    fn a_pattern_in_verbose_mode_may_end_in_a_comment() {
        check(
            "(?x) orders | payments # all that is paid",
            &["orders", "payments"],
            &["orderspayments"],
        );
    }

    #[test]
    fn what_is_no_pattern_by_itself_is_refused() {
        for refused in [
            "", "(", "a)|(b", "[a", "*", r"\", "a{2,1}", "(?z)a", r"(a)\1",
        ] {
            assert!(Pattern::new(refused).is_err(), "{refused:?}");
        }
    }
}
