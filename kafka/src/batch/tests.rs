//! Batches: round trips, the bytes of another implementation, and every kind of corruption.

use super::*;
use ringlog::Header;

const LIMITS: Limits = Limits {
    decompressed_bytes: 1 << 20,
};

/// What a test compares of a record.
type Fields = (
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<(String, Option<Vec<u8>>)>,
);

fn fields_of(batch: &DecodedBatch<'_>) -> Result<Vec<Fields>, InvalidBatch> {
    let mut headers = Vec::new();
    let records = batch.records(&mut headers)?;
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    Ok(records
        .iter()
        .map(|record| {
            let headers = headers[record.headers.clone()].iter();
            let headers = headers.map(|h| (h.name.to_owned(), owned(h.value)));
            (
                record.timestamp,
                owned(record.key),
                owned(record.value),
                headers.collect(),
            )
        })
        .collect())
}

fn decoded(bytes: &[u8]) -> Result<Vec<Fields>, InvalidBatch> {
    fields_of(&decode(bytes, LIMITS)?)
}

fn header(name: &'static str, value: Option<&'static [u8]>) -> Header<'static> {
    let mut header = Header::new(name, b"");
    header.value = value;
    header
}

/// Three records with all that may be null or empty.
fn sample(codec: Codec) -> Vec<u8> {
    let headers = [
        header("h", Some(b"1")),
        header("h", None),
        header("", Some(b"")),
    ];
    let records = [
        RecordFields {
            timestamp: 1_700_000_000_000,
            key: Some(b"key-1"),
            value: Some(&[b'v'; 300]),
            headers: &headers,
        },
        RecordFields {
            timestamp: 1_700_000_000_005,
            value: Some(b""),
            ..RecordFields::default()
        },
        RecordFields {
            timestamp: -1,
            key: Some(b""),
            ..RecordFields::default()
        },
    ];
    encode(&records, codec).unwrap()
}

/// A batch with other bytes in it, and the checksum that these have.
fn edited(mut batch: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    resealed(batch)
}

/// The batch with its true length and checksum.
fn resealed(mut batch: Vec<u8>) -> Vec<u8> {
    let length = batch.len() as i32 - 12;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&checksum.to_be_bytes());
    batch
}

/// A batch with these bytes as its records.
fn with_payload(records: i32, payload: &[u8]) -> Vec<u8> {
    let mut batch = sample(Codec::None);
    batch.truncate(HEADER_BYTES);
    batch.extend_from_slice(payload);
    batch[23..27].copy_from_slice(&(records - 1).to_be_bytes());
    batch[57..61].copy_from_slice(&records.to_be_bytes());
    resealed(batch)
}

#[test]
fn records_survive_every_codec() {
    for codec in Codec::ALL {
        let bytes = sample(codec);
        let batch = decode(&bytes, LIMITS).unwrap();
        assert_eq!(batch.header().codec, codec);
        assert_eq!(batch.header().max_timestamp, 1_700_000_000_005);
        let fields = fields_of(&batch).unwrap();
        let names = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(Into::into));
        let headers = vec![
            names("h", Some(b"1")),
            names("h", None),
            names("", Some(b"")),
        ];
        let expected = [
            (
                1_700_000_000_000,
                Some(b"key-1".to_vec()),
                Some(vec![b'v'; 300]),
                headers,
            ),
            (1_700_000_000_005, None, Some(Vec::new()), Vec::new()),
            (-1, Some(Vec::new()), None, Vec::new()),
        ];
        assert_eq!(fields, expected, "{codec}");
    }
}

#[test]
fn the_producer_and_the_timestamp_type_survive() {
    let mut writer = BatchWriter::new(TimestampType::LogAppendTime);
    let record = RecordFields {
        timestamp: 7,
        ..RecordFields::default()
    };
    writer.append(0, &record, [].into_iter());
    let producer = Producer {
        id: 1 << 40,
        epoch: 3,
        base_sequence: i32::MAX,
    };
    let bytes = writer.finish(Codec::None, Some(producer)).unwrap();
    let (header, _) = BatchHeader::read(&bytes).unwrap();
    assert_eq!(header.producer, Some(producer));
    assert_eq!(header.timestamp_type, TimestampType::LogAppendTime);
}

#[test]
fn a_batch_ends_where_the_next_record_does_not_fit_it() {
    let mut writer = BatchWriter::new(TimestampType::CreateTime);
    let record = RecordFields::default();
    let far = i32::MAX as u64 + 10;
    for offset in [9, 11, far, far + 1] {
        writer.append(offset, &record, [].into_iter());
    }
    let bytes = writer.into_bytes();
    let length = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
    let (first, _) = BatchHeader::read(&bytes[..length]).unwrap();
    let (second, _) = BatchHeader::read(&bytes[length..]).unwrap();
    let bounds = |header: &BatchHeader| (header.base_offset, header.last_offset_delta);
    assert_eq!((bounds(&first), first.records), ((9, 2), 2));
    assert_eq!((bounds(&second), second.records), ((far as i64, 1), 2));
}

#[test]
fn records_with_other_append_times_are_other_batches() {
    let mut writer = BatchWriter::new(TimestampType::LogAppendTime);
    for (offset, timestamp) in [(0, 5), (1, 5), (2, 6)] {
        let record = RecordFields {
            timestamp,
            ..RecordFields::default()
        };
        writer.append(offset, &record, [].into_iter());
    }
    let bytes = writer.into_bytes();
    let length = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
    let (first, _) = BatchHeader::read(&bytes[..length]).unwrap();
    let (second, _) = BatchHeader::read(&bytes[length..]).unwrap();
    assert_eq!((first.records, first.max_timestamp), (2, 5));
    assert_eq!((second.records, second.max_timestamp), (1, 6));
}

/// Batches as the client kafka-python 3.0 writes them.
mod written_by_kafka_python {
    use super::*;

    const NONE: &str = "00000000000000000000005900000000026807af4d0000000000020000018bcfe568000000018bcfe568\
        05ffffffffffffffffffffffffffff00000003320000000a6b65792d310e76616c75652d310402680231\
        0268010c000a020100000c000604000100";
    const GZIP: &str = "0000000000000000000000720000000002bdd42a310001000000020000018bcfe568000000018bcfe568\
        05ffffffffffffffffffffffffffff000000031f8b080040ec0b6b02ffbbc6c2c0c0c0959d5aa96bb881\
        a52c31a73455d7709442a3589832980c9932187918b8981819187818d8581818190085b80a643b010000";
    const SNAPPY_JAVA: &str = "00000000000000000000008200000000028300ca020002000000020000018bcfe568000000018bcfe568\
        05ffffffffffffffffffffffffffff0000000382534e415050590000000001000000010000003dbb024c\
        d6040000000a6b65792d31b00476616c75652d31fe0700fe0700fe0700fe070042070054040268023102\
        68010c000a020100000c000604000100";
    const LZ4: &str = "0000000000000000000000790000000002f12d0ce20003000000020000018bcfe568000000018bcfe568\
        05ffffffffffffffffffffffffffff0000000304224d1868403b010000000000001231000000ff05d604\
        0000000a6b65792d31b00476616c75652d310700fef00704026802310268010c000a020100000c000604\
        00010000000000";
    const ZSTD: &str = "00000000000000000000006d000000000222ba40da0004000000020000018bcfe568000000018bcfe568\
        05ffffffffffffffffffffffffffff0000000328b52ffd603b00950100a402d6040000000a6b65792d31\
        b00476616c75652d3104026802310268010c000a020100000c00060400010001001ca41626";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2);
        let digits = digits.map(|pair| std::str::from_utf8(pair).unwrap());
        digits
            .map(|pair| u8::from_str_radix(pair, 16).unwrap())
            .collect()
    }

    fn expected(value: &str) -> Vec<Fields> {
        let headers = vec![
            ("h".to_owned(), Some(b"1".to_vec())),
            ("h".to_owned(), None),
        ];
        vec![
            (
                1_700_000_000_000,
                Some(b"key-1".to_vec()),
                Some(value.as_bytes().to_vec()),
                headers,
            ),
            (1_700_000_000_005, None, Some(Vec::new()), Vec::new()),
            (1_700_000_000_003, Some(Vec::new()), None, Vec::new()),
        ]
    }

    #[test]
    fn an_uncompressed_batch_is_read_and_written_byte_by_byte() {
        let bytes = bytes(NONE);
        assert_eq!(decoded(&bytes).unwrap(), expected("value-1"));

        let headers = [header("h", Some(b"1")), header("h", None)];
        let records = [
            RecordFields {
                timestamp: 1_700_000_000_000,
                key: Some(b"key-1"),
                value: Some(b"value-1"),
                headers: &headers,
            },
            RecordFields {
                timestamp: 1_700_000_000_005,
                value: Some(b""),
                ..RecordFields::default()
            },
            RecordFields {
                timestamp: 1_700_000_000_003,
                key: Some(b""),
                ..RecordFields::default()
            },
        ];
        assert_eq!(encode(&records, Codec::None).unwrap(), bytes);
    }

    #[test]
    fn compressed_batches_are_read() {
        for (codec, hex) in [
            (Codec::Gzip, GZIP),
            (Codec::Snappy, SNAPPY_JAVA),
            (Codec::Lz4, LZ4),
            (Codec::Zstd, ZSTD),
        ] {
            let bytes = bytes(hex);
            let batch = decode(&bytes, LIMITS).unwrap();
            assert_eq!(batch.header().codec, codec);
            let fields = fields_of(&batch).unwrap();
            assert_eq!(fields, expected(&"value-1".repeat(40)), "{codec}");
        }
    }
}

#[test]
fn a_batch_that_is_cut_anywhere_is_refused() {
    let bytes = sample(Codec::None);
    assert_eq!(decoded(&[]), Err(InvalidBatch::Empty));
    for end in 1..bytes.len() {
        let error = decoded(&bytes[..end]).unwrap_err();
        assert!(matches!(error, InvalidBatch::Cut { .. }), "{end}: {error}");
    }
}

#[test]
fn a_length_that_no_batch_has_is_refused() {
    for length in [i32::MIN, -1, 0, 48, i32::MAX] {
        let mut bytes = sample(Codec::None);
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        let error = decoded(&bytes).unwrap_err();
        assert!(
            matches!(error, InvalidBatch::Cut { .. }),
            "{length}: {error}"
        );
    }
}

#[test]
fn two_batches_in_one_are_refused() {
    let one = sample(Codec::None);
    let two = [&one[..], &one[..]].concat();
    let surplus = one.len() as u64;
    assert_eq!(decoded(&two), Err(InvalidBatch::Surplus { surplus }));
}

#[test]
fn a_flipped_bit_fails_the_checksum() {
    let bytes = sample(Codec::Gzip);
    for at in HEADER_BYTES - 40..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        let error = decoded(&bytes).unwrap_err();
        assert!(matches!(error, InvalidBatch::Checksum { .. }), "{at}");
    }
}

#[test]
fn old_and_unknown_formats_are_refused() {
    for magic in [0u8, 1, 3, 255] {
        let mut bytes = sample(Codec::None);
        bytes[16] = magic;
        let magic = magic as i8;
        assert_eq!(decoded(&bytes), Err(InvalidBatch::Magic { magic }));
    }
}

#[test]
fn unknown_codecs_are_refused() {
    for codec in 5..8u8 {
        let bytes = edited(sample(Codec::None), 22, &[codec]);
        assert_eq!(decoded(&bytes), Err(InvalidBatch::UnknownCodec { codec }));
    }
}

#[test]
fn control_batches_are_refused() {
    let bytes = edited(sample(Codec::None), 22, &[1 << 5]);
    assert_eq!(decoded(&bytes), Err(InvalidBatch::Control));
}

#[test]
fn bytes_that_are_not_compressed_so_are_refused() {
    for codec in &Codec::ALL[1..] {
        let bytes = edited(sample(Codec::None), 22, &[codec.attributes() as u8]);
        let error = decoded(&bytes).unwrap_err();
        let expected =
            matches!(&error, InvalidBatch::Decompression { codec: of, .. } if of == codec);
        assert!(expected, "{codec}: {error}");
    }
}

#[test]
fn cut_streams_are_refused_by_every_codec() {
    for codec in &Codec::ALL[1..] {
        let mut bytes = sample(*codec);
        bytes.truncate(bytes.len() - 9);
        assert!(decoded(&resealed(bytes)).is_err(), "{codec}");
    }
}

#[test]
fn a_decompression_bomb_is_refused_at_the_limit() {
    let zeros = vec![0u8; 4 << 20];
    for codec in &Codec::ALL[1..] {
        let mut bytes = sample(Codec::None);
        bytes.truncate(HEADER_BYTES);
        bytes.extend(codec.compress(&zeros).unwrap());
        let bytes = edited(resealed(bytes), 22, &[codec.attributes() as u8]);
        let (codec, limit) = (*codec, 1 << 20);
        let error = InvalidBatch::DecompressedTooLarge { codec, limit };
        assert_eq!(decoded(&bytes), Err(error));
    }
}

#[test]
fn a_snappy_block_that_states_gigabytes_allocates_nothing() {
    let limits = Limits::new(u32::MAX as usize + 1);
    for prefix in [&b""[..], b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x06"] {
        let mut bytes = sample(Codec::None);
        bytes.truncate(HEADER_BYTES);
        bytes.extend_from_slice(prefix);
        bytes.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
        let bytes = edited(resealed(bytes), 22, &[Codec::Snappy.attributes() as u8]);
        let error = decode(&bytes, limits).unwrap_err();
        // By its length alone, before there is room for it.
        let reason = "the block states a length that it cannot have".to_owned();
        let codec = Codec::Snappy;
        assert_eq!(error, InvalidBatch::Decompression { codec, reason });
    }
}

#[test]
fn a_count_that_lies_is_refused() {
    let one = [12, 0, 0, 0, 1, 1, 0]; // a record of six bytes, with neither key nor value
    assert_eq!(decoded(&with_payload(1, &one)).unwrap().len(), 1);
    let count = |stated, found| Err(InvalidBatch::RecordCount { stated, found });
    for (stated, payload, found) in [
        (0, &one[..], CountFault::NoRecords),
        (-1, &one, CountFault::NoRecords),
        (2, &one, CountFault::TooFewBytes { bytes: 7 }),
        (i32::MAX, &one, CountFault::TooFewBytes { bytes: 7 }),
        (1, &[one, one].concat(), CountFault::BytesLeft { bytes: 7 }),
    ] {
        assert_eq!(
            decoded(&with_payload(stated, payload)),
            count(stated, found)
        );
    }
    let bytes = edited(with_payload(1, &one), 23, &7i32.to_be_bytes());
    let found = CountFault::LastOffset { delta: 7 };
    assert_eq!(decoded(&bytes), count(1, found));
}

#[test]
fn malformed_records_are_refused_with_their_reason() {
    let faults: [(&[u8], &str); 11] = [
        (&[1, 0, 0, 0, 1, 1, 0], "its length is negative"),
        (&[14, 0, 0, 0, 1, 1, 0], "it is cut"),
        (&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80], "it is cut"),
        (&[14, 0, 0, 0, 1, 1, 0, 0], "bytes follow its last field"),
        (&[12, 0, 0, 0, 3, 1, 0], "a length is negative"),
        (&[12, 0, 0, 0, 40, 1, 0], "it is cut"),
        (&[12, 0, 0, 0, 1, 1, 1], "its number of headers is negative"),
        (
            &[12, 0, 0, 0, 1, 1, 2],
            "its number of headers is more than its bytes can hold",
        ),
        (&[16, 0, 0, 0, 1, 1, 2, 1, 0], "a header has no name"),
        (
            &[18, 0, 0, 0, 1, 1, 2, 2, 0xff, 1],
            "a header's name is not UTF-8",
        ),
        (&[16, 0, 0, 0, 1, 1, 2, 4, 97], "it is cut"),
    ];
    for (payload, reason) in faults {
        let error = InvalidBatch::Record { record: 0, reason };
        assert_eq!(decoded(&with_payload(1, payload)), Err(error), "{reason}");
    }
}

#[test]
fn no_edited_byte_panics() {
    for codec in Codec::ALL {
        let bytes = sample(codec);
        for at in 21..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let _ = decoded(&edited(bytes.clone(), at, &[value]));
            }
        }
    }
}
