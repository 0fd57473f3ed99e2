//! One run: the operations are applied to the library and to the reference, and both must agree.

use super::group::Group;
use super::ops::{CONSUMERS, NO_PARTITION, Op, Retention, Seek, Setup};
use super::polls::Wakes;
use super::reader::Reader;
use super::reference::{Limits, Partition, Room, SentRecord, StoredRecord};
use ringlog::{
    Broker, Consumer, ExclusiveProducer, OffsetReset, Overflow, Producer, SendError, Timestamps,
    Topic, TopicConfig, TopicError, TopicPartition,
};
use std::rc::Rc;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) const TOPIC: &str = "model";

/// The time of a record whose metadata was not returned: any time is accepted.
pub(crate) const UNKNOWN: i64 = i64::MIN;

/// No time.
pub(crate) const NO_TIME: i64 = -1;

pub(crate) enum AnyProducer {
    Producer(Producer),
    ExclusiveProducer(ExclusiveProducer),
}

pub(crate) struct Run {
    pub(crate) setup: Setup,
    pub(crate) broker: Broker,
    pub(crate) topic: Topic,
    /// Always present, except while it is replaced.
    pub(crate) producer: Option<AnyProducer>,
    /// Absent while a batch of the consumer is held.
    pub(crate) consumers: [Option<Consumer>; CONSUMERS],
    pub(crate) readers: [Option<Reader>; CONSUMERS],
    /// The wakers of the futures that are kept, pending.
    pub(crate) waits: [Option<Arc<Wakes>>; CONSUMERS],
    pub(crate) group: Group,
    pub(crate) log: Vec<Partition>,
    pub(crate) values: u64,
}

/// Applies all operations to the library and to the reference, and panics where they differ.
pub(crate) fn run(setup: Setup, ops: &[Op]) {
    let mut run = Run::new(setup);
    // Most runs have a consumer from the start: operations without one test little.
    run.join(0, OffsetReset::Earliest);
    let mut ops = ops.iter();
    while let Some(op) = ops.next() {
        run.step(op, &mut ops);
    }
    // In the end, the retained records are those of the reference.
    run.join(1, OffsetReset::Earliest);
    while run.is_behind(1) {
        run.poll(1, false, 0, &mut ops);
        run.check();
    }
    run.end_group();
}

fn make(broker: &Broker, setup: &Setup) -> (Topic, Vec<Partition>) {
    let config = match setup.retention {
        None => TopicConfig::new(),
        Some(Retention::ForNoTime) => TopicConfig::new().retention(Duration::ZERO),
        Some(Retention::ForAnHour) => TopicConfig::new().retention(Duration::from_secs(3600)),
        Some(Retention::Bytes(bytes)) => TopicConfig::new().retention_bytes(bytes),
    };
    let config = config
        .partitions(setup.partitions)
        .segments(setup.segments)
        .segment_records(setup.segment_records)
        .segment_bytes(setup.segment_bytes)
        .overflow(setup.overflow)
        .timestamps(setup.timestamps)
        .begin_at(setup.first_segment(), setup.first_offset())
        // In one thread, no reader makes room while a send waits.
        .max_block(Duration::ZERO);
    let partitions = 0..setup.partitions;
    (
        broker.create_topic(TOPIC, config).unwrap(),
        partitions.map(|_| Partition::new(limits(setup))).collect(),
    )
}

fn limits(setup: &Setup) -> Limits {
    Limits {
        records: setup.segment_records.into(),
        bytes: setup.bytes(),
        segments: setup.segments as usize,
        retention: setup.retention,
        first: setup.first_offset(),
        last_base: setup.last_base(),
        max_segments: setup.max_segments(),
    }
}

impl Run {
    fn new(setup: Setup) -> Run {
        let broker = Broker::new();
        let (topic, log) = make(&broker, &setup);
        Run {
            producer: Some(AnyProducer::Producer(topic.producer())),
            group: Group::new(setup.partitions),
            setup,
            broker,
            topic,
            consumers: [None, None],
            readers: [None, None],
            waits: [None, None],
            log,
            values: 0,
        }
    }

    pub(crate) fn timed(&self) -> bool {
        self.setup.timestamps == Timestamps::Append
    }

    /// Generated partition numbers are for the most partitions a topic may have.
    pub(crate) fn in_range(&self, partition: u32) -> u32 {
        if partition < NO_PARTITION {
            partition % self.setup.partitions
        } else {
            partition
        }
    }

    /// The offsets from which consumers hold producers back, each as a lower and an upper bound.
    fn gates(&self, partition: u32) -> impl Iterator<Item = (u64, u64)> {
        let p = partition as usize;
        let readers = self.readers.iter().flatten();
        let readers = readers.filter(|reader| reader.deleted_log.is_none());
        let cursors = readers.flat_map(|reader| reader.cursors.iter().chain(&reader.added));
        let cursors = cursors.filter(move |cursor| cursor.partition == p);
        let gates = cursors.map(|cursor| (cursor.gate, cursor.gate));
        let gates = gates.chain(self.group.gate(p, &self.log[p]));
        gates.filter(|_| self.setup.overflow == Overflow::Backpressure)
    }

    fn room(&self, partition: u32, records: usize, bytes: usize) -> Room {
        let gates = self.gates(partition);
        self.log[partition as usize].room(records as u64, bytes, gates)
    }

    /// The lowest gate, up to which segments may be retired, and the log start of the library,
    /// which decides where the reference leaves it open.
    fn limits(&self, partition: u32) -> (Option<(u64, u64)>, u64) {
        let start = self.topic.log_start_offset(partition).unwrap();
        let lowest = |a: (u64, u64), b: (u64, u64)| (a.0.min(b.0), a.1.min(b.1));
        (self.gates(partition).reduce(lowest), start)
    }

    fn delete(&mut self, partition: u32, before: Seek) {
        let p = self.in_range(partition);
        let Some(log) = self.log.get_mut(p as usize) else {
            let refused = TopicError::PartitionOutOfRange {
                topic: TOPIC.into(),
                partition: p,
                partitions: self.setup.partitions,
            };
            assert_eq!(self.topic.delete_records(p, 0), Err(refused));
            return;
        };
        let (start, end) = (log.start(), log.end());
        let before = match before {
            Seek::Retained(share) => start + (end - start) * u64::from(share) / 255,
            Seek::Below | Seek::NearbyTime(_) => start.saturating_sub(1),
            Seek::Above(more) => end.saturating_add(more.into()),
            Seek::Offset(offset) => offset,
            Seek::Beginning => start,
            Seek::End => end,
        };
        let answer = self.topic.delete_records(p, before);
        if before > end {
            let refused = TopicError::OffsetOutOfRange {
                topic: TOPIC.into(),
                partition: p,
                offset: before,
                log_start: start,
                log_end: end,
            };
            assert_eq!(answer, Err(refused));
        } else {
            assert_eq!(answer, Ok(before.max(start)));
            log.delete(before);
        }
    }

    fn add_partitions(&mut self, total: u32) {
        let before = self.setup.partitions;
        let answer = self.topic.add_partitions(total);
        if total <= before {
            let refused = TopicError::InvalidConfig {
                setting: "partitions",
                value: total.into(),
                min: u64::from(before) + 1,
                max: 16_384,
            };
            assert_eq!(answer, Err(refused));
            return;
        }
        assert_eq!(answer, Ok(()));
        assert_eq!(self.topic.partitions(), total);
        self.setup.partitions = total;
        for p in before..total {
            self.log.push(Partition::new(limits(&self.setup)));
            self.group.add(self.setup.first_offset());
            for reader in self.readers.iter_mut().flatten() {
                reader.added(p as usize, &self.log);
            }
        }
    }

    fn apply_retention(&mut self) {
        self.topic.apply_retention();
        for p in 0..self.setup.partitions {
            let (gate, start) = self.limits(p);
            self.log[p as usize].apply_retention(gate, start);
        }
    }

    /// The library has appended this frame.
    pub(crate) fn appended(
        &mut self,
        partition: u32,
        base: u64,
        frame: Vec<Option<StoredRecord>>,
        bytes: usize,
    ) {
        let room = self.room(partition, frame.len(), bytes);
        assert!(
            matches!(room, Room::Free | Room::Undetermined),
            "appended, but the reference has {room:?}"
        );
        let (gate, start) = self.limits(partition);
        let log = &mut self.log[partition as usize];
        assert_eq!(log.append(frame, bytes, gate, start), base);
    }

    /// The library has no room, now or ever; returns the partition.
    pub(crate) fn full(&mut self, cause: &SendError, records: usize, bytes: usize) -> u32 {
        let (partition, rooms) = match cause {
            SendError::Full {
                topic,
                partition,
                waited,
            } => {
                assert!(&**topic == TOPIC && waited.is_zero());
                (*partition, [Room::Full, Room::Undetermined].as_slice())
            }
            SendError::Exhausted { topic, partition } => {
                assert_eq!(&**topic, TOPIC);
                (*partition, [Room::Exhausted].as_slice())
            }
            _ => panic!("{cause}"),
        };
        let room = self.room(partition, records, bytes);
        assert!(
            rooms.contains(&room),
            "{cause}, but the reference has {room:?}"
        );
        self.log[partition as usize].refused();
        partition
    }

    /// Checks a record's time, and returns the record as it must be read.
    pub(crate) fn stored(&self, sent: &SentRecord, timestamp: Option<i64>) -> StoredRecord {
        match sent.time {
            Some(given) => assert_eq!(timestamp, Some(given)),
            None if self.timed() => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                assert!((timestamp.unwrap() - now.as_millis() as i64).abs() < 10_000);
            }
            None => assert_eq!(timestamp, None),
        }
        StoredRecord {
            sent: sent.clone(),
            time: timestamp.unwrap_or(NO_TIME),
        }
    }

    pub(crate) fn step(&mut self, op: &Op, ops: &mut slice::Iter<'_, Op>) {
        self.stop_waiting(op);
        match op {
            Op::Send(sent, partition, wait) => self.send(sent, *partition, *wait),
            Op::Batch(batch, wait) => self.batch(batch, *wait),
            Op::Values(to, count, wait) => self.values(to, *count, *wait),
            Op::Claim(to, key, length, publish) => self.claim(to, key.clone(), *length, *publish),
            Op::ReplaceProducer(exclusive) => self.replace_producer(*exclusive),
            Op::Poll(consumer, wait, held) => self.poll(*consumer, *wait, *held, ops),
            Op::PollTask(consumer, kept) => self.poll_task(*consumer, *kept),
            Op::Seek(consumer, partition, seek) => self.seek(*consumer, *partition, *seek),
            Op::SetPaused(consumer, partition, on) => self.pause(*consumer, *partition, *on),
            Op::Join(consumer, reset) => self.join(*consumer, *reset),
            Op::Leave(consumer) => self.leave(*consumer),
            Op::Subscribe(consumer) => self.subscribe(*consumer),
            Op::Assign(consumer, partitions) => self.assign(*consumer, partitions),
            Op::Unsubscribe(consumer) => self.unsubscribe(*consumer),
            Op::Wakeup(consumer) => self.wakeup(*consumer),
            Op::LookUpTime(partition, time) => self.look_up_time(*partition, *time),
            Op::ApplyRetention => self.apply_retention(),
            Op::Delete(partition, before) => self.delete(*partition, *before),
            Op::AddPartitions(total) => self.add_partitions(*total),
            Op::Recreate(closed) => self.recreate(*closed),
            Op::Group(op) => self.group_step(*op),
        }
        self.check();
    }

    pub(crate) fn check(&self) {
        for (p, log) in self.log.iter().enumerate() {
            assert_eq!(self.topic.log_start_offset(p as u32), Ok(log.start()));
            assert_eq!(self.topic.log_end_offset(p as u32), Ok(log.end()));
        }
        for (consumer, reader) in self.consumers.iter().zip(&self.readers) {
            if let (Some(consumer), Some(reader)) = (consumer, reader) {
                self.check_reader(consumer, reader);
            }
        }
        self.check_group();
    }

    fn check_reader(&self, consumer: &Consumer, reader: &Reader) {
        let cursors = reader.cursors.iter();
        let assignment: Vec<_> = cursors
            .map(|cursor| TopicPartition::new(TOPIC, cursor.partition as u32))
            .collect();
        assert_eq!(consumer.assignment(), assignment);
        let logs = reader.deleted_log.as_deref().unwrap_or(&self.log);
        for cursor in &reader.cursors {
            let (p, log) = (cursor.partition as u32, &logs[cursor.partition]);
            assert_eq!(consumer.position((TOPIC, p)), Ok(cursor.position));
            let lag = log.end().saturating_sub(cursor.position.max(log.start()));
            assert_eq!(consumer.lag((TOPIC, p)), Ok(lag));
            let lead = cursor.position.saturating_sub(log.start());
            assert_eq!(consumer.lead((TOPIC, p)), Ok(lead));
            if self.setup.overflow == Overflow::Backpressure {
                assert!(log.oldest() <= cursor.gate);
            }
        }
    }

    /// Closes the topic: no record is added, and each consumer reads on to the end.
    fn close(&mut self) {
        self.topic.close();
        assert!(self.topic.is_closed());
        self.appends_are_refused();
        for i in 0..CONSUMERS {
            self.read_to_the_end(i);
        }
        self.check();
    }

    /// Deletes the topic, whose handles then only answer queries, and creates it again. Consumers
    /// stay with the old topic until they subscribe again.
    fn recreate(&mut self, closed: bool) {
        if closed {
            self.close();
        }
        self.broker.delete_topic(TOPIC).unwrap();
        let unknown = TopicError::UnknownTopic {
            name: TOPIC.to_owned(),
        };
        assert_eq!(self.broker.delete_topic(TOPIC), Err(unknown.clone()));
        assert_eq!(self.broker.topic(TOPIC).unwrap_err(), unknown);
        self.appends_are_refused();
        let closed = TopicError::Closed {
            topic: TOPIC.into(),
        };
        assert_eq!(self.topic.delete_records(0, 0), Err(closed));
        self.polls_are_refused();
        self.group_is_refused();
        self.check();
        let (topic, log) = make(&self.broker, &self.setup);
        let gone = Rc::new(std::mem::replace(&mut self.log, log));
        for reader in self.readers.iter_mut().flatten() {
            reader.deleted_log.get_or_insert_with(|| gone.clone());
        }
        self.producer = Some(AnyProducer::Producer(topic.producer()));
        self.topic = topic;
        self.group_subscribes();
    }
}
