//! The layers of `src/`, lowest first.

/// A part of a layer: files and folders that may import one another.
pub(super) struct Part {
    pub(super) layer: u32,
    /// Module paths, with `/` between their segments.
    members: &'static [&'static str],
}

const fn part(layer: u32, members: &'static [&'static str]) -> Part {
    Part { layer, members }
}

/// Every part. Parts of the same layer do not import each other.
const PARTS: [Part; 20] = [
    part(
        0,
        &[
            "error",
            "record",
            "owned_record",
            "topic_partition",
            "name",
            "clock",
            "events",
        ],
    ),
    part(1, &["sync"]),
    part(2, &["wait"]),
    part(2, &["disk"]),
    part(
        3,
        &[
            "log/overflow",
            "log/counters",
            "log/partition_id",
            "log/waiting_readers",
        ],
    ),
    part(4, &["log/segment"]),
    part(5, &["log/holds", "log/published_position"]),
    part(5, &["log/files"]),
    part(6, &["log/segment_pool", "log/retention"]),
    part(7, &["log/partition"]),
    part(8, &["log/cursor", "log/time_lookup"]),
    part(9, &["storage"]),
    part(10, &["topic"]),
    part(11, &["producer"]),
    part(11, &["group"]),
    part(12, &["consumer"]),
    part(13, &["stats"]),
    part(14, &["broker"]),
    // The root. No file imports it, by whichever of its re-exports.
    part(15, &["lib"]),
    // It only declares the parts of a log: it imports nothing, and has no names of its own.
    part(0, &[CONTAINER]),
];

/// The one module that is a folder of layers.
pub(super) const CONTAINER: &str = "log";

impl Part {
    /// The part that a module belongs to.
    pub(super) fn of(module: &[String]) -> Option<&'static Part> {
        let path = match module {
            [] => "lib".to_owned(),
            _ => module.join("/"),
        };
        // A longer member is the more exact one: `log/segment` before `log`.
        let rank = |part: &&'static Part| part.member(&path).map(str::len);
        PARTS
            .iter()
            .filter(|part| rank(part).is_some())
            .max_by_key(rank)
    }

    /// The member that a module is, or lies in.
    pub(super) fn member(&self, path: &str) -> Option<&'static str> {
        let inside = |member: &str| match path.strip_prefix(member) {
            Some(rest) => rest.is_empty() || (member != CONTAINER && rest.starts_with('/')),
            None => false,
        };
        self.members.iter().copied().find(|&m| inside(m))
    }

    pub(super) fn may_import(&'static self, other: &'static Part) -> bool {
        std::ptr::eq(self, other) || other.layer < self.layer
    }
}
