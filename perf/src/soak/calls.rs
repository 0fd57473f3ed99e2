//! The sending calls: what each is given, and what it must answer.

use super::handle::Handle;
use super::identity::{HEADER, Id, KEYS, Kind, LARGEST, key_bytes};
use super::parts::is_tombstone;
use super::producer::{Refusal, Sender, wrong};
use ringlog::{Header, Record, RecordMetadata, Route};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};

/// Which call a record is sent by.
#[derive(Clone, Copy)]
pub(crate) enum Call {
    Send,
    TrySend,
    Batch,
    Values,
    Claim,
}

/// What a filler panics with in the middle of a claim.
pub(crate) struct FillerPanic;

#[allow(clippy::panic)] // what it is for
fn fail() -> ! {
    panic_any(FillerPanic)
}

/// The most bytes of a key with its length and the time, and of the header.
const BESIDES: usize = 8 + 8 + 32 + 32;
/// The same in a batch, without a header, with the record's descriptor.
const BESIDES_IN_BATCH: usize = 8 + 8 + 8 + 32;
const MOST_OF_BATCH: u64 = 48;
const MOST_VALUES: u64 = 512;
/// Most values are short, so that time goes into records and not into bytes.
const SHORT: u64 = 100;

impl Call {
    pub(crate) fn make(self, sender: &mut Sender<'_>, handle: &mut Handle) -> Result<(), Refusal> {
        match (self, sender.ledger.plan.width) {
            (Call::Send, _) => sender.single(handle, true),
            (Call::TrySend, _) => sender.single(handle, false),
            (Call::Batch, _) => sender.batch(handle),
            (Call::Claim, _) => sender.claim(handle),
            (Call::Values, 2) => sender.values::<2>(handle),
            (Call::Values, 3) => sender.values::<3>(handle),
            (Call::Values, _) => sender.values::<6>(handle),
        }
    }
}

impl Sender<'_> {
    /// The number of a key, or 0 for none: half of the time.
    fn key(&mut self) -> u64 {
        let key = self.dice.below(2 * KEYS as u64);
        if key < KEYS as u64 { key } else { 0 }
    }

    fn partition(&mut self) -> u32 {
        self.dice.below(self.ledger.plan.partitions.into()) as u32
    }

    /// The way of records with this key.
    fn route(&mut self, key: u64) -> Route<'static> {
        match key_bytes(key as usize) {
            Some(key) => Route::Key(key),
            None if self.dice.one_in(2) => Route::Partition(self.partition()),
            None => Route::Any,
        }
    }

    /// Often none, seldom as much as a segment holds.
    fn single_length(&mut self) -> u64 {
        let plan = &self.ledger.plan;
        let most = (plan.bytes - BESIDES) as u64;
        let seldom = (plan.records / 4).clamp(64, 8_192).into();
        if self.dice.one_in(seldom) {
            return LARGEST;
        }
        match self.dice.below(64) {
            0..8 => 0,
            8 => self.dice.below(most.min(2_000)),
            _ => self.dice.below(most.min(SHORT)),
        }
    }

    fn single(&mut self, handle: &mut Handle, wait: bool) -> Result<(), Refusal> {
        let length = self.single_length();
        let key = if length == LARGEST { 0 } else { self.key() };
        let id = self.id(Kind::Single, key, length);
        let digest = id.digest(self.ledger.plan.salt);
        let bytes = match length {
            LARGEST => self.ledger.plan.largest(),
            length => length as usize,
        };
        let mut value = vec![0; bytes];
        id.fill(digest, false, &mut value);
        let trace = digest.to_ne_bytes();
        let header = [Header::new(HEADER, &trace)];
        let key = key_bytes(id.key());
        let mut record = match key {
            Some(key) if is_tombstone(id) => Record::tombstone(key),
            Some(key) => Record::new(&value).key(key),
            None => Record::new(&value),
        };
        let to = (key.is_none() && self.dice.one_in(2)).then(|| self.partition());
        if let Some(partition) = to {
            record = record.partition(partition);
        }
        if id.has_header() {
            record = record.headers(&header);
        }
        match handle.send(record.timestamp(id.time()), wait) {
            Ok(sent) => {
                if sent.timestamp != id.time() || to.is_some_and(|to| to != sent.partition) {
                    return Err(wrong(format!("{id:?} for {to:?} was answered {sent:?}")));
                }
                self.published(id, digest, sent.partition, sent.offset)?;
                match wait {
                    true => self.tally.sends += 1,
                    false => self.tally.try_sends += 1,
                }
                Ok(())
            }
            Err(error) => self.refused(&error, wait),
        }
    }

    fn values<const W: usize>(&mut self, handle: &mut Handle) -> Result<(), Refusal> {
        let plan = &self.ledger.plan;
        let fit = (plan.bytes as u64 - 16) / (8 * W as u64);
        let count = self
            .dice
            .between(1, fit.min(plan.records.into()).min(MOST_VALUES));
        let (key, wait) = (self.key(), !self.dice.one_in(4));
        let route = self.route(key);
        let first = self.id(Kind::Values, key, 8 * W as u64);
        let mut values: Vec<[u64; W]> = Vec::with_capacity(count as usize);
        let mut ids = vec![(first, first.digest(plan.salt))];
        for _ in 1..count {
            let id = self.id(Kind::Values, key, 8 * W as u64);
            ids.push((id, id.digest(self.ledger.plan.salt)));
        }
        values.extend(ids.iter().map(|(id, digest)| id.words::<W>(*digest)));
        let sent = match handle.send_values(route, &values, wait) {
            Ok(sent) => sent,
            Err(error) => return self.refused(&error, wait),
        };
        if sent.records != count || !went(route, sent.partition) {
            return Err(wrong(format!(
                "{count} values to {route:?} were answered {sent:?}"
            )));
        }
        self.check_time(first, sent.timestamp)?;
        // The order and the key are the frame's.
        self.floor(first, sent.partition, sent.base_offset)?;
        if let Some(&(last, _)) = ids.last().filter(|_| count > 1) {
            self.floor(last, sent.partition, sent.base_offset + count - 1)?;
        }
        for ((id, digest), offset) in ids.into_iter().zip(sent.base_offset..) {
            self.count(id, digest, sent.partition, offset);
        }
        self.tally.values += count;
        Ok(())
    }

    fn claim(&mut self, handle: &mut Handle) -> Result<(), Refusal> {
        let key = self.key();
        let route = self.route(key);
        let length = self.dice.between(16, 64);
        let id = self.id(Kind::Claim, key, length);
        let digest = id.digest(self.ledger.plan.salt);
        let (ledger, fate) = (self.ledger, self.dice.below(16));
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
                if !went(route, sent.partition) {
                    return Err(wrong(format!("{id:?} to {route:?} was answered {sent:?}")));
                }
                self.check_time(id, sent.timestamp)?;
                self.tally.claims += 1;
                self.published(id, digest, sent.partition, sent.offset)
            }
            Ok(Ok(None)) => {
                self.tally.aborted += 1;
                Ok(())
            }
            Ok(Err(error)) => self.refused(&error, true),
            Err(panic) if panic.is::<FillerPanic>() => {
                self.tally.aborted += 1;
                self.tally.panics += 1;
                Ok(())
            }
            Err(panic) => resume_unwind(panic),
        }
    }

    /// A batch of records that have keys, or a partition, or neither; or of plain ones, as long
    /// as one another, which take another way into the log.
    fn batch(&mut self, handle: &mut Handle) -> Result<(), Refusal> {
        let plan = &self.ledger.plan;
        let (gated, salt) = (plan.gated(), plan.salt);
        let fit = (plan.bytes as u64 - 8) / (BESIDES_IN_BATCH as u64 + 8);
        let count = self
            .dice
            .between(1, fit.min(plan.records.into()).min(MOST_OF_BATCH));
        // All of them may go to one partition, and must fit there.
        let most = (plan.bytes - 8) / count as usize / 8 * 8 - BESIDES_IN_BATCH;
        let plain = most >= 16 && self.dice.one_in(4);
        let alike = self.dice.between(8, most.clamp(8, 40) as u64);
        let mut items = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let (key, length) = match plain {
                true => (0, alike),
                false => (self.key(), self.dice.below((most as u64).min(SHORT))),
            };
            // A batch that is refused in part answers only which records are not in the log.
            // To know where the others went, their partitions have to be known before.
            let home = self.ledger.home(key as usize);
            let key = if gated && home.is_none() { 0 } else { key };
            let to = match key {
                0 if gated && count > 1 => Some(self.partition()),
                0 => None,
                _ => home,
            };
            let id = self.id(Kind::Batch, key, length);
            let digest = id.digest(salt);
            let mut value = vec![0; length as usize];
            id.fill(digest, plain, &mut value);
            items.push(Item {
                id,
                digest,
                to,
                value,
            });
        }
        let records: Vec<_> = items.iter().map(|item| item.record(plain)).collect();
        let wait = !self.dice.one_in(4);
        let sent = match handle.send_batch(&records, wait) {
            Ok(sent) => sent,
            Err(refused) => {
                let (appended, wanting) = (refused.appended, &refused.refused);
                if appended + wanting.len() != items.len() || (appended > 0 && !gated) {
                    return Err(wrong(format!("a batch of {count}: {refused}")));
                }
                for (i, item) in items.iter().enumerate() {
                    match item.to {
                        Some(to) if !wanting.contains(&i) => {
                            self.count(item.id, item.digest, to, 0)
                        }
                        _ => {}
                    }
                }
                self.tally.batched += appended as u64;
                return self.refused(&refused.cause, wait);
            }
        };
        if sent.len() != items.len() {
            return Err(wrong(format!("a batch of {count} was answered {sent:?}")));
        }
        // Within a partition the records of a batch follow one another.
        let mut next = vec![None; self.ledger.plan.partitions as usize];
        for (item, metadata) in items.iter().zip(&sent) {
            let Item { id, digest, to, .. } = item;
            let RecordMetadata {
                partition,
                offset,
                timestamp,
            } = metadata;
            self.published(*id, *digest, partition, offset)?;
            let follows = next[partition as usize].is_none_or(|next| next == offset);
            next[partition as usize] = Some(offset + 1);
            if !follows || to.is_some_and(|to| to != partition) {
                return Err(wrong(format!(
                    "{id:?} for {to:?} was answered {metadata:?}"
                )));
            }
            match plain {
                true => self.check_time(*id, timestamp)?,
                false if timestamp == id.time() => {}
                false => return Err(wrong(format!("{id:?} was answered {metadata:?}"))),
            }
        }
        self.tally.batched += count;
        Ok(())
    }

    /// The time that a record without one was given.
    fn check_time(&self, id: Id, time: i64) -> Result<(), Refusal> {
        let checked = self.ledger.check_time(time);
        checked.map_err(|other| wrong(format!("{id:?} was given {other}")))
    }
}

/// A record of a batch.
struct Item {
    id: Id,
    digest: u64,
    /// Where it goes, if that is known.
    to: Option<u32>,
    value: Vec<u8>,
}

impl Item {
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

/// Whether a route may lead to this partition.
fn went(route: Route<'_>, partition: u32) -> bool {
    match route {
        Route::Partition(wanted) => wanted == partition,
        Route::Key(_) | Route::Any => true,
    }
}
