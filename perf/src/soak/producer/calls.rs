//! The sending calls: their arguments, and the checks of their results.

use super::handle::ProducerHandle;
use super::sender::{Refusal, SoakSender};
use crate::soak::record::id::{HEADER, KEYS, LARGEST, RecordId, SendKind, key_bytes};
use crate::soak::record::parts::is_tombstone;
use ringlog::{BatchError, BatchMetadata, Destination, Header, Record, RecordMetadata};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};

/// The call that sends a record.
#[derive(Clone, Copy)]
pub(super) enum SendCall {
    Send,
    TrySend,
    Batch,
    Values,
    Claim,
    Gathered,
}

/// The payload of the panic of a closure that fills a claim.
pub(crate) struct FillerPanic;

#[allow(clippy::panic)] // the panic is the test
fn fail() -> ! {
    panic_any(FillerPanic)
}

/// The most bytes of a record beside its value: key with its length, timestamp, and header.
const OVERHEAD: usize = 8 + 8 + 32 + 32;
/// The same in a batch: without a header, but with the record's descriptor.
const BATCH_OVERHEAD: usize = 8 + 8 + 8 + 32;
const MAX_BATCH: u64 = 48;
const MAX_VALUES: u64 = 512;
/// Most values are shorter than this, so that time is spent on records rather than on bytes.
const SHORT: u64 = 100;

impl SendCall {
    pub(super) fn make(
        self,
        sender: &mut SoakSender<'_>,
        handle: &mut ProducerHandle,
    ) -> Result<(), Refusal> {
        match (self, sender.ledger.plan.width) {
            (SendCall::Send, _) => sender.single(handle, true),
            (SendCall::TrySend, _) => sender.single(handle, false),
            (SendCall::Batch, _) => sender.batch(handle),
            (SendCall::Claim, _) => sender.claim(handle),
            (SendCall::Gathered, _) => sender.gathered(handle),
            (SendCall::Values, 2) => sender.values::<2>(handle),
            (SendCall::Values, 3) => sender.values::<3>(handle),
            (SendCall::Values, _) => sender.values::<6>(handle),
        }
    }
}

impl SoakSender<'_> {
    /// The number of a key; in half of the calls 0, for no key.
    pub(super) fn key(&mut self) -> u64 {
        let key = self.rng.below(2 * KEYS as u64);
        if key < KEYS as u64 { key } else { 0 }
    }

    pub(super) fn partition(&mut self) -> u32 {
        self.rng.below(self.ledger.plan.partitions.into()) as u32
    }

    /// The route of records with this key.
    fn route(&mut self, key: u64) -> Destination<'static> {
        match key_bytes(key as usize) {
            Some(key) => Destination::Key(key),
            None if self.rng.one_in(2) => Destination::Partition(self.partition()),
            None => Destination::Any,
        }
    }

    /// The length of a value: often 0, and seldom all that a segment holds.
    fn single_length(&mut self) -> u64 {
        let plan = &self.ledger.plan;
        let most = (plan.bytes - OVERHEAD) as u64;
        let seldom = (plan.records / 4).clamp(64, 8_192).into();
        if self.rng.one_in(seldom) {
            return LARGEST;
        }
        match self.rng.below(64) {
            0..8 => 0,
            8 => self.rng.below(most.min(2_000)),
            _ => self.rng.below(most.min(SHORT)),
        }
    }

    pub(super) fn single(
        &mut self,
        handle: &mut ProducerHandle,
        wait: bool,
    ) -> Result<(), Refusal> {
        let length = self.single_length();
        let key = if length == LARGEST { 0 } else { self.key() };
        let item = self.single_item(key, length);
        match handle.send(item.record(&item.header()), wait) {
            Ok(sent) => {
                self.published_single(&item, sent)?;
                match wait {
                    true => self.counts.sends += 1,
                    false => self.counts.try_sends += 1,
                }
                Ok(())
            }
            Err(error) => self.refused(&error, wait),
        }
    }

    /// A record that is sent by itself.
    pub(super) fn single_item(&mut self, key: u64, length: u64) -> SingleItem {
        let id = self.id(SendKind::Single, key, length);
        let digest = id.digest(self.ledger.plan.salt);
        let bytes = match length {
            LARGEST => self.ledger.plan.largest(),
            length => length as usize,
        };
        let mut value = vec![0; bytes];
        id.fill(digest, false, &mut value);
        let key = key_bytes(id.key());
        SingleItem {
            id,
            digest,
            value,
            trace: digest.to_ne_bytes(),
            to: (key.is_none() && self.rng.one_in(2)).then(|| self.partition()),
        }
    }

    /// Checks what a single record's send returned, and adds the record to the account.
    pub(super) fn published_single(
        &mut self,
        item: &SingleItem,
        sent: RecordMetadata,
    ) -> Result<(), Refusal> {
        let SingleItem { id, digest, to, .. } = *item;
        if sent.timestamp() != Some(id.time()) || to.is_some_and(|to| to != sent.partition) {
            return Err(Refusal::fault(format!(
                "{id:?} for {to:?} returned {sent:?}"
            )));
        }
        self.published(id, digest, sent.partition, sent.offset)
    }

    fn values<const W: usize>(&mut self, handle: &mut ProducerHandle) -> Result<(), Refusal> {
        let plan = &self.ledger.plan;
        let fit = (plan.bytes as u64 - 16) / (8 * W as u64);
        let count = self
            .rng
            .between(1, fit.min(plan.records.into()).min(MAX_VALUES));
        let (key, wait) = (self.key(), !self.rng.one_in(4));
        let route = self.route(key);
        let first = self.id(SendKind::Values, key, 8 * W as u64);
        let mut values: Vec<[u64; W]> = Vec::with_capacity(count as usize);
        let mut ids = vec![(first, first.digest(plan.salt))];
        for _ in 1..count {
            let id = self.id(SendKind::Values, key, 8 * W as u64);
            ids.push((id, id.digest(self.ledger.plan.salt)));
        }
        values.extend(ids.iter().map(|(id, digest)| id.words::<W>(*digest)));
        let sent = match handle.send_values(route, &values, wait) {
            Ok(sent) => sent,
            Err(error) => return self.refused(&error, wait),
        };
        if sent.records != count || !may_be_in(route, sent.partition) {
            return Err(Refusal::fault(format!(
                "{count} values to {route:?} returned {sent:?}"
            )));
        }
        self.check_time(first, sent.timestamp())?;
        // The whole frame has one order and one key.
        self.check_order(first, sent.partition, sent.base_offset)?;
        if let Some(&(last, _)) = ids.last().filter(|_| count > 1) {
            self.check_order(last, sent.partition, sent.base_offset + count - 1)?;
        }
        for ((id, digest), offset) in ids.into_iter().zip(sent.base_offset..) {
            self.account(id, digest, sent.partition, offset);
        }
        self.counts.values += count;
        Ok(())
    }

    fn claim(&mut self, handle: &mut ProducerHandle) -> Result<(), Refusal> {
        let key = self.key();
        let route = self.route(key);
        let length = self.rng.between(16, 64);
        let id = self.id(SendKind::Claim, key, length);
        let digest = id.digest(self.ledger.plan.salt);
        let (ledger, fate) = (self.ledger, self.rng.below(16));
        let filled = catch_unwind(AssertUnwindSafe(|| {
            let mut claim = handle.claim(route, key_bytes(id.key()), length as usize)?;
            if fate < 2 {
                let RecordMetadata {
                    partition, offset, ..
                } = claim.metadata();
                ledger.abort(partition, offset);
                claim[..length as usize / 2].fill(0xdd);
                if fate == 0 {
                    fail();
                }
                return Ok(None);
            }
            id.fill(digest, true, &mut claim);
            Ok(Some(claim.publish()))
        }));
        match filled {
            Ok(Ok(Some(sent))) => {
                if !may_be_in(route, sent.partition) {
                    return Err(Refusal::fault(format!(
                        "{id:?} to {route:?} returned {sent:?}"
                    )));
                }
                self.check_time(id, sent.timestamp())?;
                self.counts.claims += 1;
                self.published(id, digest, sent.partition, sent.offset)
            }
            Ok(Ok(None)) => {
                self.counts.aborted += 1;
                Ok(())
            }
            Ok(Err(error)) => self.refused(&error, true),
            Err(panic) if panic.is::<FillerPanic>() => {
                self.counts.aborted += 1;
                self.counts.panics += 1;
                Ok(())
            }
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Sends a batch. Its records have a key, a partition, or neither. Or they are plain records of
    /// one length, which ringlog appends by another path.
    fn batch(&mut self, handle: &mut ProducerHandle) -> Result<(), Refusal> {
        let plan = &self.ledger.plan;
        let fit = (plan.bytes as u64 - 8) / (BATCH_OVERHEAD as u64 + 8);
        let count = self
            .rng
            .between(1, fit.min(plan.records.into()).min(MAX_BATCH));
        // All of them may be sent to one partition, and must fit there.
        let most = (plan.bytes - 8) / count as usize / 8 * 8 - BATCH_OVERHEAD;
        let plain = most >= 16 && self.rng.one_in(4);
        let items = self.batch_items(count, most as u64, plain);
        let records: Vec<_> = items.iter().map(|item| item.record(plain)).collect();
        let wait = !self.rng.one_in(4);
        match handle.send_batch(&records, wait) {
            Ok(sent) => self.check_batch(&items, &sent, plain),
            Err(refused) => self.refused_batch(&items, &refused, wait),
        }
    }

    /// The records of a batch, with values of at most `most` bytes.
    fn batch_items(&mut self, count: u64, most: u64, plain: bool) -> Vec<BatchItem> {
        let (gated, salt) = (self.ledger.plan.gated(), self.ledger.plan.salt);
        let plain_length = self.rng.between(8, most.clamp(8, 40));
        let mut items = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let (key, length) = match plain {
                true => (0, plain_length),
                false => (self.key(), self.rng.below(most.min(SHORT))),
            };
            // A batch that is refused in part reports only the records that are not in the log.
            // To know where the others are, their partitions must be known before the call.
            let home = self.ledger.home(key as usize);
            let key = if gated && home.is_none() { 0 } else { key };
            let to = match key {
                0 if gated && count > 1 => Some(self.partition()),
                0 => None,
                _ => home,
            };
            let id = self.id(SendKind::Batch, key, length);
            let digest = id.digest(salt);
            let mut value = vec![0; length as usize];
            id.fill(digest, plain, &mut value);
            items.push(BatchItem {
                id,
                digest,
                to,
                value,
            });
        }
        items
    }

    /// Checks what a batch returned for each record, and adds the records to the account.
    fn check_batch(
        &mut self,
        items: &[BatchItem],
        sent: &BatchMetadata<'_>,
        plain: bool,
    ) -> Result<(), Refusal> {
        let count = items.len();
        if sent.len() != count {
            return Err(Refusal::fault(format!(
                "a batch of {count} returned {sent:?}"
            )));
        }
        // The records of a batch are adjacent within their partition.
        let mut next_offsets = vec![None; self.ledger.plan.partitions as usize];
        for (item, metadata) in items.iter().zip(sent) {
            let BatchItem { id, digest, to, .. } = item;
            let RecordMetadata {
                partition, offset, ..
            } = metadata;
            self.published(*id, *digest, partition, offset)?;
            let follows = next_offsets[partition as usize].is_none_or(|next| next == offset);
            next_offsets[partition as usize] = Some(offset + 1);
            if !follows || to.is_some_and(|to| to != partition) {
                return Err(Refusal::fault(format!(
                    "{id:?} for {to:?} returned {metadata:?}"
                )));
            }
            match plain {
                true => self.check_time(*id, metadata.timestamp())?,
                false if metadata.timestamp() == Some(id.time()) => {}
                false => return Err(Refusal::fault(format!("{id:?} returned {metadata:?}"))),
            }
        }
        self.counts.batched += count as u64;
        Ok(())
    }

    /// Checks a refused batch, and adds the records that are in the log to the account.
    fn refused_batch(
        &mut self,
        items: &[BatchItem],
        refused: &BatchError,
        wait: bool,
    ) -> Result<(), Refusal> {
        let (appended, missing) = (refused.appended, &refused.refused);
        let gated = self.ledger.plan.gated();
        if appended + missing.len() != items.len() || (appended > 0 && !gated) {
            let count = items.len();
            return Err(Refusal::fault(format!("a batch of {count}: {refused}")));
        }
        for (i, item) in items.iter().enumerate() {
            match item.to {
                Some(to) if !missing.contains(&i) => self.account(item.id, item.digest, to, 0),
                _ => {}
            }
        }
        self.counts.batched += appended as u64;
        self.refused(&refused.cause, wait)
    }

    /// Checks the timestamp that ringlog gave to a record without one.
    fn check_time(&self, id: RecordId, time: Option<i64>) -> Result<(), Refusal> {
        let checked = self.ledger.check_time(time);
        checked.map_err(|other| Refusal::fault(format!("{id:?} was given {other}")))
    }
}

/// A record that is sent by itself, or gathered.
pub(super) struct SingleItem {
    pub(super) id: RecordId,
    digest: u64,
    value: Vec<u8>,
    /// The value of its header.
    trace: [u8; 8],
    /// The partition that it is sent to, if it names one.
    to: Option<u32>,
}

impl SingleItem {
    /// The header that it has if its identity says so.
    pub(super) fn header(&self) -> [Header<'_>; 1] {
        [Header::new(HEADER, &self.trace)]
    }

    pub(super) fn record<'a>(&'a self, header: &'a [Header<'a>]) -> Record<'a> {
        let mut record = match key_bytes(self.id.key()) {
            Some(key) if is_tombstone(self.id) => Record::tombstone(key),
            Some(key) => Record::new(&self.value).key(key),
            None => Record::new(&self.value),
        };
        if let Some(partition) = self.to {
            record = record.partition(partition);
        }
        if self.id.has_header() {
            record = record.headers(header);
        }
        record.timestamp(self.id.time())
    }
}

/// A record of a batch.
struct BatchItem {
    id: RecordId,
    digest: u64,
    /// Its partition, if that is known.
    to: Option<u32>,
    value: Vec<u8>,
}

impl BatchItem {
    fn record(&self, plain: bool) -> Record<'_> {
        let record = match (key_bytes(self.id.key()), self.to) {
            (Some(key), _) => Record::new(&self.value).key(key),
            (None, Some(to)) => Record::new(&self.value).partition(to),
            (None, None) => Record::new(&self.value),
        };
        if plain {
            record
        } else {
            record.timestamp(self.id.time())
        }
    }
}

/// Whether a record with this route may be in this partition.
fn may_be_in(route: Destination<'_>, partition: u32) -> bool {
    match route {
        Destination::Partition(wanted) => wanted == partition,
        Destination::Key(_) | Destination::Any => true,
    }
}
