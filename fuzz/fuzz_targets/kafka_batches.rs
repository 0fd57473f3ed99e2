//! Any bytes as a record batch. What is accepted is encoded again, and must be the same then.
//!
//! The length and the checksum are made right first, in most inputs: without that, next to none would
//! come past them.
#![no_main]
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod batch;

use batch::checked;
use libfuzzer_sys::fuzz_target;
use ringlog_kafka::batch::{
    BatchWriter, Codec, Limits, RawRecord, RecordFields, TimestampType, decode,
};

/// Bytes of all records when decompressed.
const LIMIT: usize = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    match kind {
        0 => round_trip(bytes),
        _ => round_trip(&checked(bytes)),
    }
});

fn round_trip(bytes: &[u8]) {
    let Ok(batch) = decode(bytes, Limits::new(LIMIT)) else {
        return;
    };
    assert!(batch.payload().len() <= LIMIT || batch.header().codec == Codec::None);
    let mut headers = Vec::new();
    let Ok(records) = batch.records(&mut headers) else {
        return;
    };
    assert_eq!(records.len() as i32, batch.header().records);
    let mut writer = BatchWriter::new(TimestampType::CreateTime);
    for (offset, record) in records.iter().enumerate() {
        let fields = RecordFields {
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: &[],
        };
        let headers = headers[record.headers.clone()].iter().copied();
        writer.append(offset as u64, &fields, headers);
    }
    let again = writer.into_bytes();
    let again = decode(&again, Limits::new(usize::MAX)).unwrap();
    let mut headers_again = Vec::new();
    let records_again = again.records(&mut headers_again).unwrap();
    let parts = |record: &RawRecord<'_>| {
        let RawRecord {
            timestamp, headers, ..
        } = record.clone();
        (timestamp, headers)
    };
    for (record, again) in records.iter().zip(&records_again) {
        assert_eq!(parts(record), parts(again));
        assert_eq!((record.key, record.value), (again.key, again.value));
    }
    assert_eq!(headers, headers_again);
}
