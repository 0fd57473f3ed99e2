//! Topics in files: how they are written, and what was found when they were opened.

use super::config_file::ConfigFile;
use super::options::Options;
use super::settings::Fault;
use ringlog::{DiskFull, Flush, OnWriteError, ReadUpTo, RecoveryReport, Storage, StorageConfig};
use ringlog_kafka::{AckLevel, ServerBuilder};
use std::path::Path;
use std::time::Duration;
use tracing::{info, warn};

/// The value of this name.
fn named<T: Copy>(option: &str, given: &str, known: &[(&str, T)]) -> Result<T, Fault> {
    let found = known.iter().find(|(name, _)| *name == given);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        format!("{option}: {given:?} is none of {}", names.join(", ")).into()
    })
}

/// The storage that is asked for. A path in the file is relative to its folder.
pub(super) fn storage(
    options: &Options,
    file: &ConfigFile,
    folder: &Path,
) -> Result<Option<StorageConfig>, Fault> {
    let in_file = file.data.as_ref().map(|data| folder.join(data));
    let given = &file.storage;
    let Some(dir) = options.data.clone().or(in_file) else {
        let texts = [
            &options.disk_full,
            &options.acks_one,
            &options.acks_all,
            &options.read_up_to,
            &given.disk_full,
            &given.on_write_error,
            &given.acks_one,
            &given.acks_all,
            &given.read_up_to,
        ];
        let numbers = [
            options.flush_ms,
            options.flush_bytes,
            given.flush_ms,
            given.flush_bytes,
            given.file_bytes,
        ];
        if texts.iter().any(|text| text.is_some()) || numbers.iter().any(Option::is_some) {
            let reason = "flush-ms, flush-bytes, file-bytes, disk-full, on-write-error, acks-1, acks-all and \
                          read-up-to are for topics in a directory, and none is given (--data, or data in the file)";
            return Err(reason.into());
        }
        return Ok(None);
    };
    let mut config = Storage::dir(dir);
    let (ms, bytes) = (
        options.flush_ms.or(given.flush_ms),
        options.flush_bytes.or(given.flush_bytes),
    );
    if let Flush::Within { time, bytes: most } = Flush::default() {
        config = config.flush(Flush::Within {
            time: ms.map_or(time, Duration::from_millis),
            bytes: bytes.unwrap_or(most),
        });
    }
    if let Some(bytes) = given.file_bytes {
        config = config.file_bytes(bytes);
    }
    if let Some(policy) = options.disk_full.as_ref().or(given.disk_full.as_ref()) {
        let known = [
            ("block", DiskFull::Block),
            ("forget-oldest", DiskFull::ForgetOldest),
        ];
        config = config.disk_full(named("disk-full", policy, &known)?);
    }
    if let Some(policy) = &given.on_write_error {
        let known = [
            ("close", OnWriteError::Close),
            ("go-on", OnWriteError::GoOn),
        ];
        config = config.on_write_error(named("on-write-error", policy, &known)?);
    }
    Ok(Some(config))
}

fn ack_level(option: &str, given: &str) -> Result<AckLevel, Fault> {
    let level = given.parse::<AckLevel>();
    level.map_err(|reason| format!("{option}: {reason}").into())
}

/// When batches are acknowledged, and read.
pub(super) fn levels(
    mut builder: ServerBuilder,
    options: &Options,
    file: &ConfigFile,
) -> Result<ServerBuilder, Fault> {
    let given = &file.storage;
    if let Some(level) = options.acks_one.as_ref().or(given.acks_one.as_ref()) {
        builder = builder.acks_one(ack_level("acks-1", level)?);
    }
    if let Some(level) = options.acks_all.as_ref().or(given.acks_all.as_ref()) {
        builder = builder.acks_all(ack_level("acks-all", level)?);
    }
    if let Some(level) = options.read_up_to.as_ref().or(given.read_up_to.as_ref()) {
        let known = [
            ("sent", ReadUpTo::Sent),
            ("written", ReadUpTo::Written),
            ("durable", ReadUpTo::Durable),
        ];
        builder = builder.read_up_to(named("read-up-to", level, &known)?);
    }
    Ok(builder)
}

/// Logs what was found.
pub(crate) fn log_recovery(storage: &Storage, report: &RecoveryReport) {
    for topic in &report.topics {
        if topic.settings_lost {
            let topic = topic.name.as_str();
            warn!(
                topic,
                "the topic's settings were damaged: it has the default ones"
            );
        }
        for found in &topic.partitions {
            let (topic, partition) = (topic.name.as_str(), found.partition);
            for aside in &found.set_aside {
                let path = aside.path.display();
                warn!(topic, partition, from = aside.from, %path, reason = aside.reason, "set aside");
            }
            if !found.set_aside.is_empty() {
                let (start, end) = (found.log_start, found.log_end);
                warn!(
                    topic,
                    partition, start, end, "the log is now from start to before end"
                );
            }
            if found.gaps > 0 {
                let offsets = found.gaps;
                warn!(topic, partition, offsets, "offsets that were never written");
            }
        }
    }
    for left in &report.not_served {
        warn!(path = %left.path.display(), reason = left.reason, "a directory is not served");
    }
    if report.groups_damaged {
        warn!("the commits of this process's groups were damaged");
    }
    let partitions = || report.topics.iter().flat_map(|topic| &topic.partitions);
    info!(
        directory = %storage.path().display(),
        topics = report.topics.len(),
        records = report.records(),
        files = partitions().map(|found| found.files).sum::<u64>(),
        scanned_bytes = partitions().map(|found| found.scanned_bytes).sum::<u64>(),
        cut_bytes = partitions().map(|found| found.cut_bytes).sum::<u64>(),
        set_aside = partitions().map(|found| found.set_aside.len()).sum::<usize>(),
        milliseconds = report.duration.as_millis() as u64,
        "recovered",
    );
}
