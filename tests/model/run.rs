//! The library and the model side by side: what is done, and that both say the same.

use super::ops::{CONSUMERS, Op, Seek, Setup};
use super::reference::{Limits, Partition, Place, Reader, Room, Sent, Stored};
use ringlog::{
    Broker, Consumer, ConsumerConfig, NO_TIMESTAMP, OffsetReset, Overflow, Producer, SendError,
    Timestamps, Topic, TopicConfig,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time of a record that nobody told: whatever comes back is right.
pub(crate) const UNKNOWN: i64 = i64::MIN;

pub(crate) struct Run {
    pub(crate) setup: Setup,
    pub(crate) broker: Broker,
    pub(crate) topic: Topic,
    pub(crate) producer: Producer,
    pub(crate) consumers: [Option<(Consumer, Reader)>; CONSUMERS],
    pub(crate) log: Vec<Partition>,
    pub(crate) values: u64,
}

impl Run {
    pub(crate) fn new(setup: Setup) -> Run {
        let broker = Broker::new();
        let config = TopicConfig::new()
            .partitions(setup.partitions)
            .segments(setup.segments)
            .segment_records(setup.segment_records)
            .segment_bytes(setup.segment_bytes)
            .overflow(setup.overflow)
            .timestamps(setup.timestamps)
            // In one thread nobody makes room meanwhile.
            .max_block(Duration::ZERO);
        let topic = broker.create_topic("model", config).unwrap();
        let limits = Limits {
            records: setup.segment_records.into(),
            bytes: setup.segment_bytes.div_ceil(8) * 8,
            segments: setup.segments as usize,
        };
        Run {
            log: (0..setup.partitions)
                .map(|_| Partition::new(limits))
                .collect(),
            producer: topic.producer(),
            setup,
            broker,
            topic,
            consumers: [None, None],
            values: 0,
        }
    }

    pub(crate) fn segment_bytes(&self) -> usize {
        self.setup.segment_bytes.div_ceil(8) * 8
    }

    pub(crate) fn timed(&self) -> bool {
        self.setup.timestamps == Timestamps::Append
    }

    /// Partition numbers are generated for the most partitions there may be.
    pub(crate) fn in_range(&self, partition: u32) -> u32 {
        partition % self.setup.partitions
    }

    pub(crate) fn room(&self, partition: u32, records: usize, bytes: usize) -> Room {
        let gates = self.consumers.iter().flatten();
        let gates = gates.map(|(_, reader)| reader.places[partition as usize].gate);
        let gates = gates.filter(|_| self.setup.overflow == Overflow::Backpressure);
        self.log[partition as usize].room(records as u64, bytes, gates)
    }

    /// The library says that it has appended this frame.
    pub(crate) fn appended(
        &mut self,
        partition: u32,
        base: u64,
        frame: Vec<Option<Stored>>,
        bytes: usize,
    ) {
        let room = self.room(partition, frame.len(), bytes);
        assert_ne!(
            room,
            Room::Full,
            "appended over what a consumer has not read"
        );
        assert_eq!(self.log[partition as usize].append(frame, bytes), base);
    }

    /// The library says that there is no room.
    pub(crate) fn full(&mut self, cause: &SendError, records: usize, bytes: usize) {
        let SendError::Full {
            partition, waited, ..
        } = cause
        else {
            panic!("{cause}")
        };
        assert!(waited.is_zero());
        let room = self.room(*partition, records, bytes);
        assert_ne!(room, Room::There, "refused, and there is room");
        self.log[*partition as usize].refused();
    }

    /// Checks a record's time, and makes it what must come back.
    pub(crate) fn stored(&self, sent: &Sent, timestamp: i64) -> Stored {
        match sent.time {
            Some(given) => assert_eq!(timestamp, given),
            None if self.timed() => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                assert!((timestamp - now.as_millis() as i64).abs() < 10_000);
            }
            None => assert_eq!(timestamp, NO_TIMESTAMP),
        }
        Stored {
            sent: sent.clone(),
            time: timestamp,
        }
    }

    pub(crate) fn join(&mut self, i: usize, latest: bool) {
        let reset = if latest {
            OffsetReset::Latest
        } else {
            OffsetReset::Earliest
        };
        // The old one goes first: what it held back is free.
        self.consumers[i] = None;
        let config = ConsumerConfig::new()
            .offset_reset(reset)
            .max_poll_records(self.setup.max_poll);
        let mut consumer = self.broker.consumer(config);
        consumer.subscribe(&["model"]).unwrap();
        self.consumers[i] = Some((consumer, Reader::new(&self.log, reset)));
    }

    pub(crate) fn poll(&mut self, i: usize, wait: bool) {
        let Some((consumer, reader)) = &mut self.consumers[i] else {
            return;
        };
        let expected = reader.poll(&self.log, self.setup.max_poll as usize);
        // A poll that waits does so only where nothing is there to be waited for: not here.
        let timeout = Duration::from_secs(u64::from(wait && expected.is_some()));
        let batch = consumer.poll(timeout).unwrap();
        let Some(expected) = expected else {
            assert!(batch.is_empty(), "{batch:?}");
            return;
        };
        assert_eq!(batch.partition() as usize, expected.partition, "{batch:?}");
        assert_eq!(batch.lost(), expected.lost, "{batch:?}");
        assert_eq!(
            batch.len(),
            expected.records.len(),
            "{batch:?} {expected:?}"
        );
        assert_eq!(batch.iter().len(), batch.iter().count());
        let mut all_u64 = true;
        for (read, (offset, stored)) in batch.iter().zip(&expected.records) {
            assert_eq!(read.offset(), *offset);
            assert!(stored.time == UNKNOWN || read.timestamp() == stored.time);
            let back = Sent {
                value: (!read.is_tombstone()).then(|| read.value().to_vec()),
                key: read.key().map(<[u8]>::to_vec),
                headers: read
                    .headers()
                    .map(|h| (h.name.to_owned(), h.value.map(<[u8]>::to_vec)))
                    .collect(),
                time: stored.sent.time,
            };
            assert_eq!(back, stored.sent);
            assert!(
                read.is_tombstone() || read.value().as_ptr().addr() % 8 == 0 || {
                    // Only values that lie back to back may be unaligned.
                    back.key.is_none() && back.headers.is_empty()
                }
            );
            all_u64 &= read.value().len() == 8;
        }
        match batch.values::<u64>() {
            Ok(values) => {
                assert!(all_u64);
                let values = values.map(|v| v.to_ne_bytes().to_vec());
                assert!(values.eq(batch.iter().map(|r| r.value().to_vec())));
            }
            Err(_) => assert!(!all_u64),
        }
    }

    pub(crate) fn seek(&mut self, i: usize, p: usize, seek: &Seek) {
        let Some((consumer, reader)) = &mut self.consumers[i] else {
            return;
        };
        let p = p % self.log.len();
        let (start, end) = (self.log[p].start(), self.log[p].end());
        let place: &mut Place = &mut reader.places[p];
        let offset = match seek {
            Seek::Beginning => {
                consumer.seek_to_beginning("model", p as u32).unwrap();
                return place.go(start);
            }
            Seek::End => {
                consumer.seek_to_end("model", p as u32).unwrap();
                return place.go(end);
            }
            Seek::Retained(share) => start + (end - start) * u64::from(*share) / 255,
            Seek::Below => start.saturating_sub(1),
            Seek::Above(255) => u64::MAX,
            Seek::Above(more) => end + u64::from(*more),
        };
        consumer.seek("model", p as u32, offset).unwrap();
        place.seek(&self.log[p], offset);
    }

    pub(crate) fn check(&self) {
        for (p, log) in self.log.iter().enumerate() {
            let p = p as u32;
            assert_eq!(self.topic.log_start_offset(p), Ok(log.start()));
            assert_eq!(self.topic.log_end_offset(p), Ok(log.end()));
            for (consumer, reader) in self.consumers.iter().flatten() {
                let place = &reader.places[p as usize];
                assert_eq!(consumer.position("model", p), Ok(place.position));
                let lag = log.end().saturating_sub(place.position);
                assert_eq!(consumer.lag("model", p), Ok(lag));
                if self.setup.overflow == Overflow::Backpressure {
                    assert!(log.start() <= place.gate);
                }
            }
        }
    }

    pub(crate) fn step(&mut self, op: &Op) {
        match op {
            Op::Send(sent, partition, wait) => self.send(sent, *partition, *wait),
            Op::Batch(batch, wait) => self.batch(batch, *wait),
            Op::Values(to, count, wait) => self.values(to, *count, *wait),
            Op::Claim(to, key, length, publish) => self.claim(to, key.clone(), *length, *publish),
            Op::Poll(consumer, wait) => self.poll(*consumer, *wait),
            Op::Seek(consumer, partition, seek) => self.seek(*consumer, *partition, seek),
            Op::Join(consumer, latest) => self.join(*consumer, *latest),
            Op::Leave(consumer) => self.consumers[*consumer] = None,
        }
        self.check();
    }
}
