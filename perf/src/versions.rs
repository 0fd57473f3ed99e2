//! The versions of the crates that are measured, as they are built in.

/// The lock file that this was built with.
const LOCK: &str = include_str!("../../Cargo.lock");

/// The version of a crate, or nothing for what is no crate.
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
    fn every_crate_that_is_measured_has_one_version() {
        let peers = "bus crossbeam-channel crossbeam-queue crossfire disruptor flume kanal \
                     nexus-logbuf ringlog rtrb tokio";
        for package in peers.split_whitespace() {
            assert_eq!(versions_of(package).count(), 1, "{package}");
            assert!(version(package).split('.').count() == 3, "{package}");
        }
        assert_eq!(version("std"), "");
    }
}
