//! The versions of the measured crates, as built.

/// The lock file of this build.
const LOCK: &str = include_str!("../../Cargo.lock");

/// The version of a crate; empty if there is no such crate.
pub(crate) fn version(package: &str) -> &'static str {
    versions_of(package).next().unwrap_or_default()
}

fn versions_of(package: &str) -> impl Iterator<Item = &'static str> {
    let name = format!("\"{package}\"");
    let packages = LOCK.split("[[package]]").skip(1);
    packages.filter_map(move |lines| {
        let field = |key| lines.lines().find_map(|line: &str| line.strip_prefix(key));
        if field("name = ")? != name {
            return None;
        }
        Some(field("version = ")?.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measured_crate_has_one_version() {
        let peers = "bus crossbeam-channel crossbeam-queue crossfire disruptor fjall flume kafko \
                     kanal nexus-logbuf nexus-queue rapidfire ringlog rtrb tokio walrus-rust";
        for package in peers.split_whitespace() {
            assert_eq!(versions_of(package).count(), 1, "{package}");
            assert!(version(package).split('.').count() == 3, "{package}");
        }
        assert_eq!(version("std"), "");
    }
}
