//! The operations that append.

use super::ops::To;
use super::reference::{Sent, Stored, share_bytes};
use super::run::{Run, UNKNOWN};
use ringlog::{Header, Record, RecordMetadata, Route, SendError};

fn headers(sent: &Sent) -> Vec<Header<'_>> {
    let all = sent.headers.iter();
    all.map(|(name, value)| Header {
        name,
        value: value.as_deref(),
    })
    .collect()
}

fn record<'a>(sent: &'a Sent, headers: &'a [Header<'a>], partition: Option<u32>) -> Record<'a> {
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

fn route(to: &To) -> Route<'_> {
    match to {
        To::Key(key) => Route::Key(key),
        To::Partition(partition) => Route::Partition(*partition),
        To::Any => Route::Any,
    }
}

impl Run {
    pub(crate) fn send(&mut self, sent: &Sent, partition: Option<u32>, wait: bool) {
        let partition = partition.map(|p| self.in_range(p));
        let headers = headers(sent);
        let record = record(sent, &headers, partition);
        let bytes = sent.bytes(self.timed() || sent.time.is_some());
        let answer = if wait {
            self.producer.send(record)
        } else {
            self.producer.try_send(record)
        };
        match answer {
            Ok(at) => {
                assert!(partition.is_none_or(|p| p == at.partition));
                assert!(bytes <= self.segment_bytes());
                let stored = self.stored(sent, at.timestamp);
                self.appended(at.partition, at.offset, vec![Some(stored)], bytes);
            }
            Err(SendError::RecordTooLarge { size, max }) => {
                assert_eq!((size, max), (bytes as u64, self.segment_bytes() as u64));
                assert!(size > max);
            }
            Err(cause) => self.full(&cause, 1, bytes),
        }
    }

    pub(crate) fn batch(&mut self, batch: &[(Sent, Option<u32>)], wait: bool) {
        // The partition of every record is known beforehand, so that a refused share's is.
        let to = |partition: Option<u32>| self.in_range(partition.unwrap_or(0));
        let places: Vec<u32> = batch.iter().map(|&(_, p)| to(p)).collect();
        let headers: Vec<_> = batch.iter().map(|(sent, _)| headers(sent)).collect();
        let records: Vec<_> = (0..batch.len())
            .map(|i| record(&batch[i].0, &headers[i], Some(places[i])))
            .collect();
        let shares: Vec<Vec<usize>> = (0..self.setup.partitions)
            .map(|p| (0..batch.len()).filter(|&i| places[i] == p).collect())
            .collect();
        let bytes: Vec<usize> = shares
            .iter()
            .map(|share| {
                let share: Vec<&Sent> = share.iter().map(|&i| &batch[i].0).collect();
                if share.is_empty() {
                    0
                } else {
                    share_bytes(&share)
                }
            })
            .collect();
        let answer = if wait {
            self.producer.send_batch(&records)
        } else {
            self.producer.try_send_batch(&records)
        };
        let answer = answer.map(|sent| sent.iter().collect::<Vec<RecordMetadata>>());
        let too_large = (0..shares.len()).find(|&p| {
            shares[p].len() > self.setup.segment_records as usize || bytes[p] > self.segment_bytes()
        });
        if let Some(p) = too_large {
            let refused = answer.expect_err("larger than a segment");
            let SendError::BatchTooLarge {
                partition,
                records,
                size,
                ..
            } = refused.cause
            else {
                panic!("{refused}")
            };
            let facts = (partition as usize, records as usize, size as usize);
            assert_eq!(facts, (p, shares[p].len(), bytes[p]));
            assert_eq!((refused.appended, refused.refused.len()), (0, batch.len()));
            return;
        }
        let refused = answer
            .as_ref()
            .err()
            .map(|e| e.refused.clone())
            .unwrap_or_default();
        let time = answer.as_ref().map_or(Vec::new(), Clone::clone);
        for (p, share) in shares
            .iter()
            .enumerate()
            .filter(|(_, share)| !share.is_empty())
        {
            if refused.contains(&share[0]) {
                assert!(
                    share.iter().all(|i| refused.contains(i)),
                    "a share was torn"
                );
                continue;
            }
            // The times of a batch that was refused in part are not told: take them as read.
            let base = self.log[p].end();
            let frame = share.iter().zip(base..).map(|(&i, offset)| {
                let sent = &batch[i].0;
                let timestamp = match time.get(i) {
                    Some(at) => {
                        assert_eq!((at.partition as usize, at.offset), (p, offset));
                        at.timestamp
                    }
                    None => sent.time.unwrap_or(UNKNOWN),
                };
                Some(match timestamp {
                    UNKNOWN => Stored {
                        sent: sent.clone(),
                        time: UNKNOWN,
                    },
                    known => self.stored(sent, known),
                })
            });
            let frame = frame.collect();
            self.appended(p as u32, base, frame, bytes[p]);
        }
        if let Err(e) = &answer {
            assert_eq!(e.appended + e.refused.len(), batch.len());
            let SendError::Full { partition, .. } = e.cause else {
                panic!("{e}")
            };
            let p = partition as usize;
            let expected: Vec<_> = (0..batch.len())
                .filter(|&i| places[i] >= partition)
                .collect();
            assert_eq!(e.refused, expected);
            self.full(&e.cause, shares[p].len(), bytes[p]);
        }
    }

    pub(crate) fn route_in_range(&self, to: &To) -> To {
        match to {
            To::Partition(partition) => To::Partition(self.in_range(*partition)),
            other => other.clone(),
        }
    }

    pub(crate) fn values(&mut self, to: &To, count: usize, wait: bool) {
        let values: Vec<u64> = (self.values..).take(count).collect();
        self.values += count as u64;
        let to = self.route_in_range(to);
        let answer = if wait {
            self.producer.send_values(route(&to), &values)
        } else {
            self.producer.try_send_values(route(&to), &values)
        };
        let bytes = 16 + 8 * count;
        match answer {
            Ok(at) if count == 0 => {
                assert_eq!(at.base_offset, self.log[at.partition as usize].end());
            }
            Ok(at) => {
                assert_eq!(at.records, count as u64);
                let values = values.iter().map(|v| Sent::plain(v.to_ne_bytes().to_vec()));
                let frame = values.map(|sent| Some(self.stored(&sent, at.timestamp)));
                let frame = frame.collect();
                self.appended(at.partition, at.base_offset, frame, bytes);
            }
            Err(SendError::BatchTooLarge { .. }) => {
                assert!(bytes > self.segment_bytes() || count > self.setup.segment_records as usize)
            }
            Err(cause) => self.full(&cause, count, bytes),
        }
    }

    pub(crate) fn claim(&mut self, to: &To, key: Option<Vec<u8>>, length: usize, publish: bool) {
        let to = self.route_in_range(to);
        let sent = Sent {
            key,
            ..Sent::plain((0..length).map(|i| i as u8).collect())
        };
        let bytes = sent.bytes(self.timed());
        let claim = self.producer.claim(route(&to), sent.key.as_deref(), length);
        let claim = claim.map(|mut claim| {
            claim.copy_from_slice(sent.value.as_deref().unwrap());
            let at = claim.metadata();
            if publish {
                assert_eq!(claim.publish(), at);
            }
            at
        });
        let at = match claim {
            Ok(at) => at,
            Err(SendError::RecordTooLarge { size, max }) => {
                assert_eq!((size, max), (bytes as u64, self.segment_bytes() as u64));
                assert!(size > max);
                return;
            }
            Err(cause) => return self.full(&cause, 1, bytes),
        };
        let stored = publish.then(|| self.stored(&sent, at.timestamp));
        self.appended(at.partition, at.offset, vec![stored], bytes);
    }
}
