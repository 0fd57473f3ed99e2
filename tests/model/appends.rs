//! Operations that append records.

use super::ops::Target;
use super::reference::{SentRecord, StoredRecord, body_bytes, share_bytes};
use super::run::{AnyProducer, Run, TOPIC, UNKNOWN};
use ringlog::{BatchError, Destination, Header, Record, RecordMetadata, SendError, TopicError};

/// Calls the producer, shared or exclusive.
macro_rules! call {
    ($run:expr, $producer:ident => $call:expr) => {
        match $run.producer.as_mut().unwrap() {
            AnyProducer::Producer($producer) => $call,
            AnyProducer::ExclusiveProducer($producer) => $call,
        }
    };
}

fn headers(sent: &SentRecord) -> Vec<Header<'_>> {
    let all = sent.headers.iter();
    all.map(|(name, value)| Header {
        name,
        value: value.as_deref(),
    })
    .collect()
}

fn record<'a>(
    sent: &'a SentRecord,
    headers: &'a [Header<'a>],
    partition: Option<u32>,
) -> Record<'a> {
    let mut record = match (&sent.value, &sent.key) {
        (None, key) => Record::tombstone(key.as_deref().unwrap_or_default()),
        (Some(value), None) => Record::new(value),
        (Some(value), Some(key)) => Record::new(value).key(key),
    };
    if let Some(partition) = partition {
        record = record.partition(partition);
    }
    if let Some(time) = sent.time {
        record = record.timestamp(time);
    }
    record.headers(headers)
}

fn route(to: &Target) -> Destination<'_> {
    match to {
        Target::Key(key) => Destination::Key(key),
        Target::Partition(partition) => Destination::Partition(*partition),
        Target::Any => Destination::Any,
    }
}

impl Run {
    // ---- refusals: any of the expected reasons is correct -------------------------------

    fn wrong_partition(&self, partition: Option<u32>) -> Option<SendError> {
        let partitions = self.setup.partitions;
        let wrong = partition.filter(|&partition| partition >= partitions)?;
        Some(SendError::PartitionOutOfRange {
            partition: wrong,
            partitions,
        })
    }

    fn wrong_time(sent: &SentRecord) -> Option<SendError> {
        let wrong = sent.time.filter(|&time| time < 0)?;
        Some(SendError::InvalidTimestamp { timestamp: wrong })
    }

    fn record_too_large(&self, bytes: usize) -> Option<SendError> {
        (bytes > self.setup.bytes()).then(|| SendError::RecordTooLarge {
            size: bytes as u64,
            max: self.setup.bytes() as u64,
        })
    }

    fn share_too_large(&self, partition: u32, records: usize, bytes: usize) -> Option<SendError> {
        let most = self.setup.segment_records;
        let fits = records <= most as usize && bytes <= self.setup.bytes();
        (!fits).then(|| SendError::BatchTooLarge {
            partition,
            records: records as u64,
            size: bytes as u64,
            max_records: most.into(),
            max: self.setup.bytes() as u64,
        })
    }

    /// Whether a single frame had to be refused; checks that the answer agrees.
    fn is_refused<T>(answer: &Result<T, SendError>, reasons: &[SendError]) -> bool {
        match answer {
            Ok(_) => assert!(reasons.is_empty(), "appended despite {reasons:?}"),
            Err(cause) if reasons.is_empty() => {
                assert!(matches!(
                    cause,
                    SendError::Full { .. } | SendError::Exhausted { .. }
                ))
            }
            Err(cause) => assert!(reasons.contains(cause), "{cause}: {reasons:?}"),
        }
        !reasons.is_empty()
    }

    // ---- one record ---------------------------------------------------------------------

    pub(crate) fn send(&mut self, sent: &SentRecord, partition: Option<u32>, wait: bool) {
        let partition = partition.map(|p| self.in_range(p));
        let headers = headers(sent);
        let record = record(sent, &headers, partition);
        let bytes = sent.bytes(self.timed() || sent.time.is_some());
        let answer = if wait {
            call!(self, producer => producer.send(record))
        } else {
            call!(self, producer => producer.try_send(record))
        };
        let reasons = [
            Self::wrong_time(sent),
            self.wrong_partition(partition),
            self.record_too_large(bytes),
        ];
        let reasons: Vec<_> = reasons.into_iter().flatten().collect();
        if Self::is_refused(&answer, &reasons) {
            return;
        }
        match answer {
            Ok(at) => {
                assert!(partition.is_none_or(|p| p == at.partition));
                let stored = self.stored(sent, at.timestamp());
                self.appended(at.partition, at.offset, vec![Some(stored)], bytes);
            }
            Err(cause) => {
                self.full(&cause, 1, bytes);
            }
        }
    }

    pub(crate) fn claim(
        &mut self,
        to: &Target,
        key: Option<Vec<u8>>,
        length: usize,
        publish: bool,
    ) {
        let to = self.route_in_range(to);
        let bytes = body_bytes(length, key.as_deref(), 0, self.timed());
        let mut value = Vec::new();
        let claim = call!(self, producer => producer.claim(route(&to), key.as_deref(), length));
        let answer = claim.map(|mut claim| {
            value.extend((0..length).map(|i| i as u8));
            claim.copy_from_slice(&value);
            let at = claim.metadata();
            if publish {
                assert_eq!(claim.publish(), at);
            }
            at
        });
        let reasons = [
            self.wrong_partition(to.partition()),
            self.record_too_large(bytes),
        ];
        let reasons: Vec<_> = reasons.into_iter().flatten().collect();
        if Self::is_refused(&answer, &reasons) {
            return;
        }
        let sent = SentRecord {
            key,
            ..SentRecord::plain(value)
        };
        match answer {
            Ok(at) => {
                let stored = publish.then(|| self.stored(&sent, at.timestamp()));
                self.appended(at.partition, at.offset, vec![stored], bytes);
            }
            Err(cause) => {
                self.full(&cause, 1, bytes);
            }
        }
    }

    // ---- many ---------------------------------------------------------------------------

    pub(crate) fn values(&mut self, to: &Target, count: usize, wait: bool) {
        let values: Vec<u64> = (self.values..).take(count).collect();
        self.values += count as u64;
        let to = self.route_in_range(to);
        let answer = if wait {
            call!(self, producer => producer.send_values(route(&to), &values))
        } else {
            call!(self, producer => producer.try_send_values(route(&to), &values))
        };
        let bytes = 16 + 8 * count;
        // When the partitioner chose the partition, only the answer has it.
        let partition = match &answer {
            Err(SendError::BatchTooLarge { partition, .. }) => *partition,
            _ => 0,
        };
        let partition = to.partition().unwrap_or(partition);
        let reasons = [
            self.wrong_partition(Some(partition)),
            self.share_too_large(partition, count, bytes),
        ];
        let reasons: Vec<_> = reasons.into_iter().flatten().collect();
        if Self::is_refused(&answer, &reasons) {
            return;
        }
        match answer {
            Ok(at) if count == 0 => {
                assert_eq!(at.base_offset, self.log[at.partition as usize].end());
            }
            Ok(at) => {
                assert_eq!(at.records, count as u64);
                assert!(to.partition().is_none_or(|p| p == at.partition));
                let values = values
                    .iter()
                    .map(|v| SentRecord::plain(v.to_ne_bytes().to_vec()));
                let frame = values.map(|sent| Some(self.stored(&sent, at.timestamp())));
                let frame = frame.collect();
                self.appended(at.partition, at.base_offset, frame, bytes);
            }
            Err(cause) => {
                self.full(&cause, count, bytes);
            }
        }
    }

    pub(crate) fn batch(&mut self, batch: &[(SentRecord, Option<u32>)], wait: bool) {
        // Each record has an explicit partition, so that the partition of a refused share is known.
        let to = |partition: Option<u32>| self.in_range(partition.unwrap_or(0));
        let partitions: Vec<u32> = batch.iter().map(|&(_, p)| to(p)).collect();
        let headers: Vec<_> = batch.iter().map(|(sent, _)| headers(sent)).collect();
        let records: Vec<_> = (0..batch.len())
            .map(|i| record(&batch[i].0, &headers[i], Some(partitions[i])))
            .collect();
        let shares: Vec<Vec<usize>> = (0..self.setup.partitions)
            .map(|p| (0..batch.len()).filter(|&i| partitions[i] == p).collect())
            .collect();
        let bytes = shares.iter().map(|share| {
            let share: Vec<&SentRecord> = share.iter().map(|&i| &batch[i].0).collect();
            share_bytes(&share)
        });
        let bytes: Vec<usize> = bytes.collect();
        let answer = if wait {
            call!(self, producer => producer.send_batch(&records))
                .map(|sent| sent.iter().collect::<Vec<_>>())
        } else {
            call!(self, producer => producer.try_send_batch(&records))
                .map(|sent| sent.iter().collect::<Vec<_>>())
        };
        let mut reasons: Vec<SendError> = batch
            .iter()
            .zip(&partitions)
            .flat_map(|((sent, _), &p)| [Self::wrong_time(sent), self.wrong_partition(Some(p))])
            .flatten()
            .collect();
        reasons.extend(
            (0..self.setup.partitions)
                .zip(shares.iter().zip(&bytes))
                .filter_map(|(p, (share, &bytes))| self.share_too_large(p, share.len(), bytes)),
        );
        if !reasons.is_empty() {
            // A batch with a record that can never be appended is refused as a whole.
            let refused = answer.expect_err("appended a batch with an invalid record");
            assert!(reasons.contains(&refused.cause), "{refused}: {reasons:?}");
            assert_eq!((refused.appended, refused.refused.len()), (0, batch.len()));
            return;
        }
        self.batch_appended(batch, &shares, &bytes, &answer);
        if let Err(e) = &answer {
            assert_eq!(e.appended + e.refused.len(), batch.len());
            let first = (0..shares.len()).find(|&p| {
                let mut share = shares[p].iter();
                share.any(|i| e.refused.contains(i))
            });
            let p = first.expect("nothing was refused");
            let expected: Vec<_> = (0..batch.len())
                .filter(|&i| partitions[i] as usize >= p)
                .collect();
            assert_eq!(e.refused, expected);
            let partition = self.full(&e.cause, shares[p].len(), bytes[p]);
            assert_eq!(partition as usize, p);
        }
    }

    /// Adds the shares of a batch that were not refused to the reference.
    fn batch_appended(
        &mut self,
        batch: &[(SentRecord, Option<u32>)],
        shares: &[Vec<usize>],
        bytes: &[usize],
        answer: &Result<Vec<RecordMetadata>, BatchError>,
    ) {
        let (sent, refused) = match answer {
            Ok(sent) => (sent.as_slice(), [].as_slice()),
            Err(e) => ([].as_slice(), e.refused.as_slice()),
        };
        for (p, share) in shares.iter().enumerate() {
            let torn = share.iter().any(|i| refused.contains(i));
            if torn || share.is_empty() {
                let whole = share.iter().all(|i| refused.contains(i));
                assert!(whole, "a share was torn");
                continue;
            }
            let base = self.log[p].end();
            let frame = share.iter().zip(base..).map(|(&i, offset)| {
                let record = &batch[i].0;
                // A partly refused batch does not report its times: accept any.
                let timestamp = match sent.get(i) {
                    Some(at) => {
                        assert_eq!((at.partition as usize, at.offset), (p, offset));
                        at.timestamp()
                    }
                    None => Some(record.time.unwrap_or(UNKNOWN)),
                };
                Some(match timestamp {
                    Some(UNKNOWN) => StoredRecord {
                        sent: record.clone(),
                        time: UNKNOWN,
                    },
                    known => self.stored(record, known),
                })
            });
            let frame = frame.collect();
            self.appended(p as u32, base, frame, bytes[p]);
        }
    }

    fn route_in_range(&self, to: &Target) -> Target {
        match to {
            Target::Partition(partition) => Target::Partition(self.in_range(*partition)),
            other => other.clone(),
        }
    }

    // ---- producers ----------------------------------------------------------------------

    /// Replaces the producer by another one, shared or exclusive.
    pub(crate) fn replace_producer(&mut self, exclusive: bool) {
        let alone = matches!(self.producer, Some(AnyProducer::ExclusiveProducer(_)));
        let refused = self.topic.exclusive_producer().map(drop).unwrap_err();
        let exist = TopicError::ProducersExist {
            topic: TOPIC.into(),
            shared: u64::from(!alone),
            exclusive: u64::from(alone),
        };
        assert_eq!(refused, exist);
        if alone {
            let mut other = self.topic.producer();
            let refused = SendError::ExclusiveProducer {
                topic: TOPIC.into(),
            };
            assert_eq!(other.try_send(Record::new("x")), Err(refused));
        }
        self.producer = None;
        self.producer = Some(if exclusive {
            AnyProducer::ExclusiveProducer(self.topic.exclusive_producer().unwrap())
        } else {
            AnyProducer::Producer(self.topic.producer())
        });
    }

    /// After the topic was deleted, every way to append is refused.
    pub(crate) fn appends_are_refused(&mut self) {
        let closed = SendError::Closed {
            topic: TOPIC.into(),
        };
        let records = [Record::new("x")];
        call!(self, producer => {
            assert_eq!(producer.send(records[0]), Err(closed.clone()));
            assert_eq!(producer.send_batch(&records).unwrap_err().cause, closed);
            assert_eq!(producer.send_values(Destination::Any, &[0u64]), Err(closed.clone()));
            assert_eq!(producer.claim(Destination::Any, None, 1).map(drop), Err(closed));
        });
        let closed = TopicError::Closed {
            topic: TOPIC.into(),
        };
        let refused = self.topic.exclusive_producer().map(drop);
        assert_eq!(refused, Err(closed));
    }
}
