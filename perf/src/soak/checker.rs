//! The rules that every record read must keep, for every consumer.
//!
//! # What is exact
//!
//! A reader knows the next offset of each partition. Without loss, every offset between that and
//! the record read is a claim given up. With loss, `lost()` counts the claims among the lost
//! offsets as well, and does not report which offsets are lost. So the rest of the gap, which the
//! reader stepped over, is *at most* the claims given up in it. At the end,
//! read + lost + stepped over is exactly the log end.

use crate::soak::fault::Fault;
use crate::soak::ledger::{Ledger, PartitionTotal, weight};
use crate::soak::record::id::{LARGEST, PRODUCERS, RecordId, SendKind};
use crate::soak::record::parts::RecordParts;
use ringlog::Batch;
use std::sync::Arc;

/// Checks what one thread reads of one topic.
pub(crate) struct Checker {
    pub(crate) ledger: Arc<Ledger>,
    partitions: Vec<PartitionProgress>,
    /// For a reader that seeks back: the record that it has read at each offset.
    recall: Vec<(u64, Option<RecordId>)>,
    pub(crate) bytes: u64,
    batches: u64,
}

/// The progress of reading one partition, and its totals.
pub(crate) struct PartitionProgress {
    position: Option<ReadPosition>,
    pub(crate) read: PartitionTotal,
    pub(crate) lost: u64,
    pub(crate) stepped: u64,
}

/// The position of a reader in a partition.
struct ReadPosition {
    /// The next offset.
    next: u64,
    /// The next record is the first retained one from `next` on. Otherwise it may be any from
    /// there on: the reader sought an offset that may not be retained any more.
    exact: bool,
    paused: bool,
    /// The smallest sequence that may follow, by producer.
    next_sequence: [u64; PRODUCERS],
}

/// The records that a reader remembers for each partition, by offset modulo this number.
const RECALL: usize = 1 << 14;

/// One batch in this number is also read through `values()`, which costs another pass.
const VALUES_INTERVAL: u64 = 8;

impl Checker {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Checker {
        let progress = |_| PartitionProgress {
            position: None,
            read: PartitionTotal::default(),
            lost: 0,
            stepped: 0,
        };
        Checker {
            partitions: (0..ledger.plan.partitions).map(progress).collect(),
            recall: Vec::new(),
            bytes: 0,
            batches: 0,
            ledger,
        }
    }

    /// Remembers what it reads, so that a second read must return the same.
    pub(crate) fn with_recall(mut self) -> Checker {
        let partitions = self.partitions.len();
        self.recall.resize(partitions * RECALL, (0, None));
        self
    }

    // ---- the position of the reader ----------------------------------------------------------

    /// The reader continues at `offset` of this partition or, if not `exact`, anywhere after it.
    pub(crate) fn begin(&mut self, partition: u32, offset: u64, exact: bool) {
        let paused = self
            .position(partition)
            .is_some_and(|position| position.paused);
        self.partitions[partition as usize].position = Some(ReadPosition {
            next: offset,
            exact,
            paused,
            next_sequence: [0; PRODUCERS],
        });
    }

    /// The reader has left this partition.
    pub(crate) fn leave(&mut self, partition: u32) {
        self.partitions[partition as usize].position = None;
    }

    pub(crate) fn pause(&mut self, partition: u32, paused: bool) {
        if let Some(position) = &mut self.partitions[partition as usize].position {
            position.paused = paused;
        }
    }

    fn position(&self, partition: u32) -> Option<&ReadPosition> {
        self.partitions.get(partition as usize)?.position.as_ref()
    }

    /// The next offset, if it is known.
    pub(crate) fn next(&self, partition: u32) -> Option<u64> {
        let position = self.position(partition)?;
        position.exact.then_some(position.next)
    }

    pub(crate) fn reads(&self, partition: u32) -> bool {
        self.position(partition).is_some()
    }

    pub(crate) fn progress(&self) -> &[PartitionProgress] {
        &self.partitions
    }

    // ---- the records -------------------------------------------------------------------------

    /// Checks a batch, every byte of it.
    pub(crate) fn batch(&mut self, batch: &Batch<'_>) -> Result<(), Fault> {
        let Some(partition) = batch.partition() else {
            return Ok(());
        };
        let mut lost = batch.lost();
        let mut records = 0;
        for record in batch {
            self.record(partition, lost, &RecordParts::of(&record))?;
            lost = 0;
            records += 1;
        }
        if records != batch.len() {
            let length = batch.len();
            return Err(format!(
                "a batch of {length} records, of which {records} were read"
            ));
        }
        self.batches += 1;
        if batch.is_empty() || self.batches % VALUES_INTERVAL != 0 {
            return Ok(());
        }
        match self.ledger.plan.width {
            2 => self.values::<2>(batch),
            3 => self.values::<3>(batch),
            _ => self.values::<6>(batch),
        }
    }

    /// Checks `values()` of a batch whose values have one size: the same values, in place.
    fn values<const W: usize>(&self, batch: &Batch<'_>) -> Result<(), Fault> {
        let Ok(values) = batch.values::<[u64; W]>() else {
            return match batch
                .iter()
                .all(|record| record.value_bytes().len() == 8 * W)
            {
                true => Err(format!("values() refuses values of {} bytes", 8 * W)),
                false => Ok(()),
            };
        };
        let mut records = batch.iter();
        for value in values {
            let same = |at: &[u8]| at.as_ptr().cast() == value.as_ptr() && at.len() == 8 * W;
            if !records
                .next()
                .is_some_and(|record| same(record.value_bytes()))
            {
                return Err("values() gives other values than the records".to_owned());
            }
        }
        match records.next() {
            None => Ok(()),
            Some(record) => Err(format!("values() ends before offset {}", record.offset())),
        }
    }

    /// Checks a record by itself, and against the records before it. `lost` is that of the batch
    /// for its first record, and 0 for the others.
    #[inline]
    pub(crate) fn record(
        &mut self,
        partition: u32,
        lost: u64,
        parts: &RecordParts<'_>,
    ) -> Result<(), Fault> {
        match self.check(partition, lost, parts) {
            Ok(()) => Ok(()),
            Err(fault) => Err(self.at(partition, parts, &fault)),
        }
    }

    #[inline]
    fn check(&mut self, partition: u32, lost: u64, parts: &RecordParts<'_>) -> Result<(), Fault> {
        let ledger = &*self.ledger;
        let (id, digest) = parts.identify(ledger)?;
        let offset = parts.offset;
        let Some(progress) = self.partitions.get_mut(partition as usize) else {
            return Err("there is no such partition".to_owned());
        };
        let Some(position) = &mut progress.position else {
            return Err("this consumer does not read the partition".to_owned());
        };
        if offset != position.next || lost > 0 || !position.exact || position.paused {
            let (lost, stepped) = position.gap(ledger, partition, offset, lost)?;
            progress.lost += lost;
            progress.stepped += stepped;
        }
        position.next = offset + 1;
        let next_sequence = &mut position.next_sequence[id.producer()];
        if *next_sequence > id.sequence() {
            return Err(format!(
                "{id:?} follows the producer's {}",
                *next_sequence - 1
            ));
        }
        *next_sequence = id.sequence() + 1;
        if id.key() > 0 {
            ledger.check_home(id.key(), partition)?;
        }
        if !self.recall.is_empty() {
            let known = &mut self.recall[partition as usize * RECALL + offset as usize % RECALL];
            match *known {
                (at, Some(other)) if at == offset && other != id => {
                    return Err(format!("{id:?} is where {other:?} was read before"));
                }
                _ => *known = (offset, Some(id)),
            }
        }
        progress.read.records += 1;
        progress.read.digest = progress
            .read
            .digest
            .wrapping_add(weight(id, digest, offset));
        self.bytes += parts.value.len() as u64;
        Ok(())
    }

    #[cold]
    fn at(&self, partition: u32, parts: &RecordParts<'_>, fault: &str) -> Fault {
        let bounds = self.ledger.bounds();
        let topic = &self.ledger.plan.name;
        let (offset, length) = (parts.offset, parts.value.len());
        format!(
            "{topic}, partition {partition}, offset {offset}, {length} bytes: {fault} ({bounds})"
        )
    }
}

impl ReadPosition {
    /// Accounts for the offsets from `next` to `offset`: returns how many of them were lost, and
    /// how many were stepped over.
    #[cold]
    fn gap(
        &mut self,
        ledger: &Ledger,
        partition: u32,
        offset: u64,
        lost: u64,
    ) -> Result<(u64, u64), Fault> {
        if self.paused {
            return Err("the partition is paused".to_owned());
        }
        if lost > 0 && ledger.plan.gated() {
            return Err(format!("{lost} records lost under Backpressure"));
        }
        let next = self.next;
        let Some(gap) = offset.checked_sub(next) else {
            return Err(format!("{next} should be next: offsets go back"));
        };
        if !self.exact {
            self.exact = true;
            return Ok((0, 0));
        }
        let aborted = ledger.aborted_in(partition, next..offset);
        let Some(stepped) = gap.checked_sub(lost) else {
            return Err(format!("{next} should be next, and more were lost: {lost}"));
        };
        if stepped > aborted || (lost == 0 && stepped < aborted) {
            return Err(format!(
                "{next} should be next; {lost} were lost, and {aborted} claims given up"
            ));
        }
        if lost > 0 {
            // The reader continues where the log started at some earlier moment. So an offset that
            // is retained even now cannot have been lost.
            let from = ledger.log_start(partition)?.clamp(next, offset);
            if ledger.aborted_in(partition, from..offset) != offset - from {
                return Err(format!(
                    "{lost} were lost up to here, and {from} is still retained"
                ));
            }
        }
        Ok((lost, stepped))
    }
}

impl RecordParts<'_> {
    /// The identity of a record, if all its parts agree on it.
    #[inline]
    fn identify(&self, ledger: &Ledger) -> Result<(RecordId, u64), Fault> {
        let timed = self.time.and_then(RecordId::from_time);
        let inside = timed.is_none();
        let Some(id) = timed.or_else(|| RecordId::from_value(self.value)) else {
            return Err(format!("no identity: time {:?}", self.time));
        };
        let digest = id.digest(ledger.plan.salt);
        if let Err(at) = id.check(digest, inside, self.value) {
            return Err(format!(
                "{id:?}: the value's bytes from {at} on are not its own"
            ));
        }
        let length = match id.length() {
            LARGEST => ledger.plan.largest() as u64,
            length => length,
        };
        if self.value.len() as u64 != length {
            return Err(format!("{id:?}: the value's length is not its own"));
        }
        let kind = match id.kind() {
            SendKind::Single => !inside,
            SendKind::Batch => true,
            SendKind::Values | SendKind::Claim => inside,
        };
        if !kind {
            return Err(format!("{id:?} has the time {:?}", self.time));
        }
        if inside {
            ledger.check_time(self.time)?;
        }
        self.check_rest(id, digest)?;
        Ok((id, digest))
    }
}
