//! The changes, and the tests that must notice each.

/// One change of meaning.
pub(crate) struct Mutant {
    /// What is wrong then.
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    /// Text that is in the file exactly once, and what replaces it.
    pub(crate) old: &'static str,
    pub(crate) new: &'static str,
    /// Arguments of `cargo test -p ringlog`: one test target, and perhaps a filter after `--`.
    pub(crate) tests: &'static str,
}

pub(crate) const MUTANTS: [Mutant; 10] = [
    Mutant {
        name: "a segment is kept when exactly enough bytes follow it",
        file: "src/log/retention.rs",
        old: "rest >= self.units",
        new: "rest > self.units",
        tests: "--test retention",
    },
    Mutant {
        name: "the age of a segment is ignored",
        file: "src/log/retention.rs",
        old: "(self.time != u64::MAX && age >= self.time)",
        new: "(self.time == 0 && age >= self.time)",
        tests: "--test retention",
    },
    Mutant {
        name: "deleted records count in a group's lag",
        file: "src/log/partition/extent.rs",
        old: "self.end.saturating_sub(position.max(self.start))",
        new: "self.end.saturating_sub(position)",
        tests: "--test groups",
    },
    Mutant {
        name: "deleted records count in a lead",
        file: "src/log/partition/extent.rs",
        old: "position.saturating_sub(self.start)",
        new: "position",
        tests: "--test watch",
    },
    Mutant {
        name: "a poll advances its round by three partitions",
        file: "src/consumer/poll_order.rs",
        old: "const MIN_STEP: usize = 4;",
        new: "const MIN_STEP: usize = 3;",
        tests: "--test many_partitions",
    },
    Mutant {
        name: "a member is expelled after half its interval",
        file: "src/group/coordinator/members.rs",
        old: "now.saturating_sub(last.seen_at) > member.max_poll_interval",
        new: "now.saturating_sub(last.seen_at) * 2 > member.max_poll_interval",
        tests: "--test groups",
    },
    Mutant {
        name: "a member that waits in a poll is taken for dead",
        file: "src/group/coordinator/members.rs",
        old: "id == observer || s.is_waiting || s.polls != last.count",
        new: "id == observer || s.polls != last.count",
        tests: "--test groups",
    },
    Mutant {
        name: "partitions go to the member with the most",
        file: "src/group/assignor/sticky.rs",
        old: "shares.readers[t].iter().min_by_key(",
        new: "shares.readers[t].iter().max_by_key(",
        tests: "--test groups",
    },
    Mutant {
        name: "the next owner is not signalled at a release",
        file: "src/group/coordinator/partitions.rs",
        old: "signals.signal();\n            }\n        }\n        self.signal_if_all_released();",
        new: "let _ = signals;\n            }\n        }\n        self.signal_if_all_released();",
        tests: "--test groups",
    },
    Mutant {
        name: "empty values never move the sticky partition on",
        file: "src/producer/router.rs",
        old: "self.sticky_bytes_left.checked_sub(bytes.max(1))",
        new: "self.sticky_bytes_left.checked_sub(bytes)",
        tests: "--lib -- producer::router",
    },
];
