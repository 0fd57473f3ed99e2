//! A file of format version 1, as it is kept in `tests/golden/`. Its bytes never change: files that
//! were written once are read for ever.

use super::*;
use format::{
    ChunkHeader, ChunkKind, FIRST_CHUNK, FileHeader, Index, PAGE, SEAL_AT, Seal, encode_index,
};

const GOLDEN: &[u8] = include_bytes!("../../../../tests/golden/format-1.rl");

const FILE_ID: u64 = 0x0123_4567_89ab_cdef;

/// Builds a file chunk by chunk.
struct Builder {
    bytes: Vec<u8>,
    chain: u32,
    number: u32,
    index: Index,
}

impl Builder {
    fn add(&mut self, kind: ChunkKind, offsets: Range<u64>, latest_time: i64, payload: &[u8]) {
        let position = self.bytes.len().next_multiple_of(64);
        let header = ChunkHeader {
            kind,
            payload_crc: crc32c::crc32c(payload),
            first: offsets.start,
            offsets: offsets.end - offsets.start,
            payload: payload.len() as u64,
            latest_time,
            chain: self.chain,
            number: self.number,
            undurable: 2,
            salt: FILE_ID,
        };
        let (bytes, chain) = header.encode();
        self.bytes.resize(position, 0);
        self.bytes.extend_from_slice(&bytes);
        self.bytes.extend_from_slice(payload);
        self.index.add(offsets.start, position as u64, latest_time);
        self.chain = chain;
        self.number += 1;
    }

    fn records(&mut self, offsets: Range<u64>) {
        let (mut payload, mut data) = (Vec::new(), Vec::new());
        for offset in offsets.clone() {
            let value = value(offset, 0);
            payload.extend(descriptor(data.len(), value.len()).to_le_bytes());
            data.extend_from_slice(&value);
            data.resize(data.len().next_multiple_of(8), 0);
            data.extend_from_slice(&(offset as i64).to_le_bytes());
        }
        payload.extend(data);
        let latest = offsets.end as i64 - 1;
        self.add(ChunkKind::Records, offsets, latest, &payload);
    }
}

/// Records, a gap, records on a page of their own, an index, and a seal.
fn build() -> Vec<u8> {
    let header = FileHeader {
        topic_id: [7; 16],
        partition: 3,
        base: 100,
        created_at: 1_700_000_000_000,
        file_id: FILE_ID,
        topic: "orders".to_owned(),
    };
    let (bytes, header_crc) = header.encode();
    let mut file = Builder {
        bytes: bytes.to_vec(),
        chain: header_crc,
        number: 0,
        index: Index::default(),
    };
    file.bytes.resize(FIRST_CHUNK as usize, 0);
    file.records(100..104);
    file.add(ChunkKind::Gap, 104..110, -1, &[]);
    let page = file.bytes.len().next_multiple_of(PAGE as usize);
    file.bytes.resize(page, 0);
    file.records(110..112);
    let index_at = file.bytes.len().next_multiple_of(64);
    file.bytes.resize(index_at, 0);
    let index = encode_index(&file.index.entries);
    file.bytes.extend_from_slice(&index);
    let page = file.bytes.len().next_multiple_of(PAGE as usize);
    file.bytes.resize(page, 0);
    let seal = Seal {
        end: 112,
        index_at: index_at as u64,
        index_bytes: index.len() as u64,
        latest_time: 111,
        sealed_at: 1_700_000_001_000,
        index_crc: crc32c::crc32c(&index),
        gaps: 6,
    };
    let seal = seal.encode(header_crc);
    file.bytes[SEAL_AT as usize..][..seal.len()].copy_from_slice(&seal);
    file.bytes
}

#[test]
fn the_format_is_written_as_it_always_was() {
    let built = build();
    let differs = built.iter().zip(GOLDEN).position(|(a, b)| a != b);
    assert_eq!(differs, None, "the first byte that differs");
    assert_eq!(built.len(), GOLDEN.len());
}

#[test]
fn a_file_of_the_first_format_is_read() {
    let path = Path::new(DIR).join(write::file_name(100));
    // As it is; and without its seal, as if the machine had stopped before that was written.
    let mut unsealed = GOLDEN.to_vec();
    unsealed[SEAL_AT as usize..FIRST_CHUNK as usize].fill(0);
    for (bytes, is_sealed) in [(GOLDEN, true), (&unsealed, false)] {
        let disk = ModelDisk::new(1);
        create(&disk, 100_000).delete_before(0).unwrap();
        disk.put(&path, bytes);
        let (files, found) = recover(&disk, 100_000);
        assert_eq!((found.start, found.end, found.gaps), (100, 112, 6));
        assert_eq!(found.scanned_bytes == 0, is_sealed, "{found:?}");
        assert!(found.set_aside.is_empty(), "{found:?}");
        let back = read_all(&files);
        let expected = (100..104).chain(110..112);
        let expected = expected.map(|offset| (offset, value(offset, 0)));
        assert_eq!(back.records, expected.collect::<Vec<_>>());
        let gap = 104..110;
        assert_eq!(back.gaps, std::slice::from_ref(&gap));
        assert_eq!(back.damaged, []);
        append(&files, 3, 0).unwrap();
        assert_eq!(files.written_end(), 115);
    }
}
