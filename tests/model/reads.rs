//! Operations of consumers.

use super::ops::{CONSUMERS, NearbyTime, Op, Seek};
use super::reader::{Expected, Reader};
use super::reference::SentRecord;
use super::run::{NO_TIME, Run, TOPIC, UNKNOWN};
use ringlog::{
    Batch, ConsumeError, Consumer, ConsumerConfig, OffsetReset, TopicError, TopicPartition,
};
use std::slice;
use std::time::Duration;

const SUBSCRIBE: &str = "subscribe";
const ASSIGN: &str = "assign";

fn not_assigned(partition: u32) -> ConsumeError {
    ConsumeError::NotAssigned {
        topic: TOPIC.to_owned(),
        partition,
    }
}

/// Checks a batch against the reference.
pub(crate) fn compare(batch: &Batch<'_>, expected: &Expected) {
    assert_eq!(
        batch.partition().unwrap() as usize,
        expected.partition,
        "{batch:?}"
    );
    assert_eq!(batch.topic(), Some(TOPIC));
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
        assert!(stored.time == UNKNOWN || read.timestamp().unwrap_or(NO_TIME) == stored.time);
        let back = SentRecord {
            value: read.value().map(<[u8]>::to_vec),
            key: read.key().map(<[u8]>::to_vec),
            headers: read
                .headers()
                .map(|h| (h.name.to_owned(), h.value.map(<[u8]>::to_vec)))
                .collect(),
            time: stored.sent.time,
        };
        assert_eq!(back, stored.sent);
        assert!(
            read.is_tombstone() || read.value_bytes().as_ptr().addr() % 8 == 0 || {
                // Only values of a uniform frame, which lie back to back, may be unaligned.
                back.key.is_none() && back.headers.is_empty()
            }
        );
        all_u64 &= read.value_bytes().len() == 8;
    }
    match batch.values::<u64>() {
        Ok(values) => {
            assert!(all_u64);
            let values = values.map(|v| v.to_ne_bytes().to_vec());
            assert!(values.eq(batch.iter().map(|r| r.value_bytes().to_vec())));
        }
        Err(_) => assert!(!all_u64),
    }
}

impl Run {
    /// A consumer and its reference, if it exists and no batch of it is held.
    fn consumer(&mut self, i: usize) -> Option<(&mut Consumer, &mut Reader)> {
        Some((self.consumers[i].as_mut()?, self.readers[i].as_mut()?))
    }

    fn is_held(&self, i: usize) -> bool {
        self.consumers[i].is_none() && self.readers[i].is_some()
    }

    pub(crate) fn leave(&mut self, i: usize) {
        if !self.is_held(i) {
            (self.consumers[i], self.readers[i]) = (None, None);
        }
    }

    pub(crate) fn join(&mut self, i: usize, reset: OffsetReset) {
        if self.is_held(i) {
            return;
        }
        // The old consumer is dropped first, and holds nothing back any more.
        self.leave(i);
        let config = ConsumerConfig::new()
            .offset_reset(reset)
            .max_poll_records(self.setup.max_poll);
        self.consumers[i] = Some(self.broker.consumer(config).unwrap());
        self.readers[i] = Some(Reader::new(reset));
        self.subscribe(i);
    }

    pub(crate) fn subscribe(&mut self, i: usize) {
        let Some((consumer, reader)) = self.consumer(i) else {
            return;
        };
        let answer = consumer.subscribe([TOPIC]);
        if reader.assigned_by == Some(ASSIGN) {
            let (given, asked) = (ASSIGN, SUBSCRIBE);
            assert_eq!(answer, Err(ConsumeError::MixedAssignment { given, asked }));
            return;
        }
        assert_eq!(answer, Ok(()));
        let all: Vec<usize> = (0..self.log.len()).collect();
        self.give(i, SUBSCRIBE, &all);
    }

    pub(crate) fn assign(&mut self, i: usize, partitions: &[u32]) {
        let asked = partitions.iter().map(|&p| self.in_range(p));
        let asked: Vec<u32> = asked.collect();
        let count = self.setup.partitions;
        let Some((consumer, reader)) = self.consumer(i) else {
            return;
        };
        let named = asked.iter().map(|&p| TopicPartition::new(TOPIC, p));
        let answer = consumer.assign(named);
        let expected = if reader.assigned_by == Some(SUBSCRIBE) {
            let (given, asked) = (SUBSCRIBE, ASSIGN);
            Err(ConsumeError::MixedAssignment { given, asked })
        } else if let Some(&partition) = asked.iter().find(|&&p| p >= count) {
            Err(ConsumeError::PartitionOutOfRange {
                topic: TOPIC.into(),
                partition,
                partitions: count,
            })
        } else {
            Ok(())
        };
        assert_eq!(answer, expected);
        if expected.is_ok() {
            let asked: Vec<usize> = asked.iter().map(|&p| p as usize).collect();
            self.give(i, ASSIGN, &asked);
        }
    }

    fn give(&mut self, i: usize, given: &'static str, partitions: &[usize]) {
        if let Some(reader) = &mut self.readers[i] {
            reader.assign(given, partitions, &self.log);
        }
    }

    pub(crate) fn unsubscribe(&mut self, i: usize) {
        if let Some((consumer, reader)) = self.consumer(i) {
            consumer.unsubscribe();
            let woken = reader.woken;
            *reader = Reader::new(reader.reset);
            reader.woken = woken;
        }
    }

    pub(crate) fn pause(&mut self, i: usize, partition: u32, on: bool) {
        let p = self.in_range(partition);
        let Some((consumer, reader)) = self.consumer(i) else {
            return;
        };
        let answer = if on {
            consumer.pause((TOPIC, p))
        } else {
            consumer.resume((TOPIC, p))
        };
        match reader.cursor(p as usize) {
            Some(cursor) => {
                assert_eq!(answer, Ok(()));
                cursor.paused = on;
            }
            None => assert_eq!(answer, Err(not_assigned(p))),
        }
    }

    pub(crate) fn seek(&mut self, i: usize, partition: u32, seek: Seek) {
        let p = self.in_range(partition);
        let (Some(consumer), Some(reader)) = (&mut self.consumers[i], &mut self.readers[i]) else {
            return;
        };
        let gone = reader.deleted_log.clone();
        let logs = gone.as_deref().unwrap_or(&self.log);
        let Some(cursor) = reader.cursor(p as usize) else {
            assert_eq!(consumer.seek((TOPIC, p), 0), Err(not_assigned(p)));
            let answer = consumer.seek_to_beginning((TOPIC, p));
            assert_eq!(answer, Err(not_assigned(p)));
            assert_eq!(consumer.seek_to_end((TOPIC, p)), Err(not_assigned(p)));
            return;
        };
        let log = &logs[p as usize];
        let (start, end) = (log.start(), log.end());
        let offset = match seek {
            Seek::Beginning => {
                consumer.seek_to_beginning((TOPIC, p)).unwrap();
                return cursor.move_to(start);
            }
            Seek::End => {
                consumer.seek_to_end((TOPIC, p)).unwrap();
                return cursor.move_to(end);
            }
            Seek::NearbyTime(time) => {
                let Some((time, found)) = log.time(time) else {
                    return;
                };
                let offset = found.map_or_else(|end| end, |(offset, _)| offset);
                assert_eq!(consumer.seek_to_time((TOPIC, p), time), Ok(offset));
                return cursor.seek(log, offset);
            }
            Seek::Retained(share) => start + (end - start) * u64::from(share) / 255,
            Seek::Below => start.saturating_sub(1),
            Seek::Above(255) => u64::MAX,
            Seek::Above(more) => end.saturating_add(more.into()),
            Seek::Offset(offset) => offset,
        };
        consumer.seek((TOPIC, p), offset).unwrap();
        cursor.seek(log, offset);
    }

    pub(crate) fn wakeup(&mut self, i: usize) {
        if let Some((consumer, reader)) = self.consumer(i) {
            consumer.wakeup_handle().wakeup();
            reader.woken = true;
        }
    }

    pub(crate) fn look_up_time(&mut self, partition: u32, time: NearbyTime) {
        let p = self.in_range(partition);
        let Some(log) = self.log.get(p as usize) else {
            let refused = TopicError::PartitionOutOfRange {
                topic: TOPIC.into(),
                partition: p,
                partitions: self.setup.partitions,
            };
            assert_eq!(self.topic.offset_for_time(p, 0), Err(refused));
            return;
        };
        if let Some((time, found)) = log.time(time) {
            let expected = found.ok();
            let answer = self.topic.offset_for_time(p, time).unwrap();
            assert_eq!(answer.map(|at| (at.offset, at.timestamp)), expected);
        }
    }

    pub(crate) fn is_behind(&self, i: usize) -> bool {
        let reader = self.readers[i].as_ref();
        reader.is_some_and(|reader| reader.is_behind(&self.log))
    }

    /// Reads a batch, and holds it during the next `held` of `ops`.
    pub(crate) fn poll(
        &mut self,
        i: usize,
        wait: bool,
        held: usize,
        ops: &mut slice::Iter<'_, Op>,
    ) {
        if self.is_held(i) {
            return;
        }
        let (Some(mut consumer), Some(reader)) = (self.consumers[i].take(), &mut self.readers[i])
        else {
            return;
        };
        let expected = reader.poll(&self.log, self.setup.max_poll as usize);
        // In one thread, no record comes while a poll waits: it waits only if it returns at once.
        let waits = wait && !matches!(expected, Ok(None));
        let answer = consumer.poll(Duration::from_secs(waits.into()));
        match (answer, expected) {
            (Ok(batch), Ok(Some(expected))) => {
                compare(&batch, &expected);
                if held > 0 {
                    self.hold(i, &batch, &expected, held, ops);
                }
            }
            (Ok(batch), Ok(None)) => assert!(batch.is_empty(), "{batch:?}"),
            (Err(answer), Err(expected)) => assert_eq!(answer, expected),
            (answer, expected) => panic!("{answer:?}, but the reference has {expected:?}"),
        }
        self.consumers[i] = Some(consumer);
    }

    fn hold(
        &mut self,
        i: usize,
        batch: &Batch<'_>,
        expected: &Expected,
        held: usize,
        ops: &mut slice::Iter<'_, Op>,
    ) {
        if let Some(reader) = &mut self.readers[i] {
            reader.hold(expected);
        }
        for _ in 0..held {
            if let Some(op) = ops.next() {
                self.step(op, ops);
            }
        }
        compare(batch, expected);
        if let Some(reader) = &mut self.readers[i] {
            reader.release(expected);
        }
    }

    /// After the topic was deleted, its consumers get errors.
    pub(crate) fn polls_are_refused(&mut self) {
        for i in 0..CONSUMERS {
            let Some((consumer, reader)) = self.consumer(i) else {
                continue;
            };
            let expected = if reader.cursors.is_empty() {
                ConsumeError::NotSubscribed
            } else if std::mem::take(&mut reader.woken) {
                ConsumeError::Wakeup
            } else {
                ConsumeError::Closed {
                    topic: TOPIC.into(),
                }
            };
            assert_eq!(consumer.try_poll().unwrap_err(), expected);
        }
        let mut consumer = self.broker.consumer(ConsumerConfig::new()).unwrap();
        let unknown = ConsumeError::UnknownTopic {
            name: TOPIC.to_owned(),
        };
        assert_eq!(consumer.subscribe([TOPIC]), Err(unknown.clone()));
        let named = [TopicPartition::new(TOPIC, 0)];
        assert_eq!(consumer.assign(&named), Err(unknown));
    }
}
