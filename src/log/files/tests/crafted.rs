//! Headers, indexes and seals whose checksums are right, and which are wrong all the same: each check
//! beside the checksums.

use super::*;
use format::{
    CHUNK_HEADER, ChunkHeader, ChunkKind, FILE_HEADER, FIRST_CHUNK, FileHeader, IndexEntry, PAGE,
    SEAL, SEAL_AT, Seal, decode_index, encode_index,
};

/// A change of a header.
type Change = fn(&mut ChunkHeader);

/// Positions and headers of the chunks of a file.
fn chunks_of(bytes: &[u8]) -> Vec<(usize, ChunkHeader)> {
    let positions = (FIRST_CHUNK as usize..bytes.len()).step_by(64);
    let header = |at| Some((at, ChunkHeader::decode(&bytes[at..])?.0));
    positions.filter_map(header).collect()
}

fn put_header(bytes: &mut [u8], at: usize, header: &ChunkHeader) {
    bytes[at..at + CHUNK_HEADER].copy_from_slice(&header.encode().0);
}

/// A file of three chunks of ten records, which is not sealed.
fn open_file() -> (ModelDisk, PathBuf, Vec<u8>) {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 100_000);
    for _ in 0..3 {
        append(&files, 10, 0).unwrap();
    }
    let path = files_in(&disk)[0].clone();
    let bytes = disk.bytes(&path);
    (disk, path, bytes)
}

/// A sealed file of some chunks of ten records, and others behind it.
fn sealed_file() -> (ModelDisk, PathBuf, Vec<u8>) {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 10_000);
    for _ in 0..8 {
        append(&files, 10, 0).unwrap();
    }
    sync(&files).unwrap();
    let paths = files_in(&disk);
    let bytes = disk.bytes(&paths[0]);
    assert!(paths.len() > 1 && Seal::is_begun(&seal_bytes(&bytes)));
    (disk, paths[0].clone(), bytes)
}

fn seal_bytes(bytes: &[u8]) -> [u8; SEAL] {
    bytes[SEAL_AT as usize..][..SEAL].try_into().unwrap()
}

fn header_of(bytes: &[u8]) -> (FileHeader, u32) {
    let first: [u8; FILE_HEADER] = bytes[..FILE_HEADER].try_into().unwrap();
    FileHeader::decode(&first).unwrap()
}

#[test]
fn a_chunk_that_does_not_follow_is_not_scanned() {
    let (disk, path, bytes) = open_file();
    let (at, header) = chunks_of(&bytes)[1];
    let changes: [(&str, Change); 4] = [
        ("number", |header| header.number += 1),
        ("salt", |header| header.salt ^= 1),
        ("first", |header| header.first += 1),
        ("chain", |header| header.chain ^= 1),
    ];
    for (what, change) in changes {
        let (mut bytes, mut changed) = (bytes.clone(), header);
        change(&mut changed);
        put_header(&mut bytes, at, &changed);
        let fork = disk.fork();
        fork.put(&path, &bytes);
        let (files, _) = recover(&fork, 100_000);
        assert_eq!(files.written_end(), 10, "{what}");
        assert_has(&files, 0..10, 0);
    }
}

#[test]
fn a_wrong_bit_in_a_header_ends_what_is_scanned() {
    let (disk, path, bytes) = open_file();
    let (at, _) = chunks_of(&bytes)[1];
    for byte in 0..CHUNK_HEADER {
        let fork = disk.fork();
        fork.corrupt(&path, (at + byte) as u64, 1 << (byte % 8));
        assert_eq!(recover(&fork, 100_000).0.written_end(), 10, "byte {byte}");
    }
}

#[test]
fn a_chunk_that_does_not_follow_is_not_read() {
    let (disk, path, bytes) = sealed_file();
    let (at, header) = chunks_of(&bytes)[1];
    let changes: [(&str, Change); 2] = [
        ("salt", |header| header.salt ^= 1),
        ("first", |header| header.first += 1),
    ];
    for (what, change) in changes {
        let (mut bytes, mut changed) = (bytes.clone(), header);
        change(&mut changed);
        put_header(&mut bytes, at, &changed);
        let fork = disk.fork();
        fork.put(&path, &bytes);
        let (files, _) = recover(&fork, 10_000);
        let back = read_all(&files);
        assert_eq!(back.damaged[0].start, 10, "{what}");
        for (offset, found) in back.records {
            assert_eq!(found, value(offset, 0), "{what}");
        }
    }
}

#[test]
fn a_chunk_is_read_though_one_like_it_behind_is_not_whole() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 100_000);
    append(&files, 10, 0).unwrap();
    append(&files, 10, 0).unwrap();
    sync(&files).unwrap();
    append(&files, 10, 0).unwrap();
    let path = files_in(&disk)[0].clone();
    let mut bytes = disk.bytes(&path);
    let chunks = chunks_of(&bytes);
    let (at, header) = (chunks[2].0, chunks[1].1);
    assert_eq!(at % PAGE as usize, 0);
    let not_whole = ChunkHeader {
        payload_crc: !header.payload_crc,
        ..header
    };
    put_header(&mut bytes, at, &not_whole);
    disk.put(&path, &bytes);
    let Found::Chunk(chunk) = files.read(10) else {
        panic!("it is not read")
    };
    assert_eq!((chunk.first_offset(), chunk.end()), (10, 20));
}

#[test]
fn a_chunk_of_another_file_or_of_an_earlier_life_shows_nothing() {
    let (disk, path, bytes) = open_file();
    let (at, last) = chunks_of(&bytes)[2];
    let changes: [(&str, Change, bool); 3] = [
        ("ours", |_| {}, true),
        ("of another file", |header| header.salt ^= 1, false),
        ("of an earlier life", |header| header.number = 1, false),
    ];
    for (what, change, was_durable) in changes {
        // All before it was durable when it was appended, it says.
        let mut header = ChunkHeader {
            first: last.end() + 100,
            number: last.number + 9,
            undurable: 0,
            ..last
        };
        change(&mut header);
        let mut bytes = bytes.clone();
        let behind = (at + 1).next_multiple_of(PAGE as usize) + 64;
        put_header(&mut bytes, behind, &header);
        let fork = disk.fork();
        fork.put(&path, &bytes);
        let (files, found) = recover(&fork, 100_000);
        assert_has(&files, 0..30, 0);
        let reported = found.set_aside.iter().any(|aside| aside.was_durable);
        assert_eq!(reported, was_durable, "{what}: {found:?}");
    }
}

#[test]
fn sizes_that_do_not_fit_each_other_are_no_header() {
    let header = ChunkHeader {
        kind: ChunkKind::Records,
        payload_crc: 0,
        first: 5,
        offsets: 3,
        payload: 24,
        latest_time: 0,
        chain: 0,
        number: 0,
        undurable: 0,
        salt: 0,
    };
    let changes: [(&str, Change, bool); 7] = [
        ("as it is", |_| {}, true),
        (
            "a payload too short for its slots",
            |header| header.payload = 16,
            false,
        ),
        (
            "slots whose size overflows",
            |header| header.offsets = 1 << 61,
            false,
        ),
        (
            "offsets that overflow",
            |header| header.first = u64::MAX - 2,
            false,
        ),
        ("no offset", |header| header.offsets = 0, false),
        (
            "a gap with a payload",
            |header| header.kind = ChunkKind::Gap,
            false,
        ),
        (
            "a gap",
            |header| (header.kind, header.payload) = (ChunkKind::Gap, 0),
            true,
        ),
    ];
    for (what, change, fits) in changes {
        let mut changed = header;
        change(&mut changed);
        let decoded = ChunkHeader::decode(&changed.encode().0);
        assert_eq!(decoded.is_some(), fits, "{what}");
    }
}

#[test]
fn an_index_that_does_not_fit_its_file_is_made_again() {
    let entry = |offset, position| IndexEntry {
        offset,
        position,
        latest_time: 0,
    };
    for (second, fits) in [
        (entry(6, 70), true),
        (entry(5, 70), false),
        (entry(6, 64), false),
    ] {
        let index = encode_index(&[entry(5, 64), second]);
        assert_eq!(decode_index(&index).is_some(), fits, "{second:?}");
    }
    // One that does not begin at its file's base, and one that leads past its file.
    let (disk, path, bytes) = sealed_file();
    let (_, header_crc) = header_of(&bytes);
    let seal = Seal::decode(&seal_bytes(&bytes), header_crc).unwrap();
    let range = seal.index_at as usize..(seal.index_at + seal.index_bytes) as usize;
    let index = decode_index(&bytes[range.clone()]).unwrap();
    for changes_position in [false, true] {
        let (mut bytes, mut index) = (bytes.clone(), index.clone());
        match changes_position {
            false => index[0].offset += 1,
            true => index[0].position = u64::MAX - 5,
        }
        let index = encode_index(&index);
        bytes[range.clone()].copy_from_slice(&index);
        let seal = Seal {
            index_crc: crc32c::crc32c(&index),
            ..seal
        };
        bytes[SEAL_AT as usize..][..SEAL].copy_from_slice(&seal.encode(header_crc));
        let fork = disk.fork();
        fork.put(&path, &bytes);
        assert_has(&recover(&fork, 10_000).0, 0..80, 0);
    }
}

#[test]
fn a_wrong_bit_in_an_index_changes_nothing_of_what_is_read() {
    let (disk, path, bytes) = sealed_file();
    let (_, header_crc) = header_of(&bytes);
    let seal = Seal::decode(&seal_bytes(&bytes), header_crc).unwrap();
    for byte in seal.index_at..seal.index_at + seal.index_bytes {
        let fork = disk.fork();
        fork.corrupt(&path, byte, 1 << (byte % 8));
        let (files, _) = recover(&fork, 10_000);
        assert_has(&files, 0..80, 0);
        assert_eq!(files.find_time(5, 0), Some(0), "byte {byte}");
    }
}

#[test]
fn a_seal_of_another_file_is_not_taken() {
    let (disk, path, bytes) = sealed_file();
    let (_, header_crc) = header_of(&bytes);
    let seal = Seal::decode(&seal_bytes(&bytes), header_crc).unwrap();
    let (mut bytes, mut longer) = (bytes, seal);
    longer.end += 1;
    bytes[SEAL_AT as usize..][..SEAL].copy_from_slice(&longer.encode(header_crc ^ 1));
    disk.put(&path, &bytes);
    let (files, _) = recover(&disk, 10_000);
    assert_has(&files, 0..80, 0);
}

#[test]
fn what_was_durable_is_not_known_of_offsets_too_many_to_be_counted() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 100_000);
    append(&files, 10, 0).unwrap();
    files.append_gap(5_000_000_000).unwrap();
    append(&files, 10, 0).unwrap();
    // Nothing was synced.
    let path = files_in(&disk)[0].clone();
    disk.corrupt(&path, FIRST_CHUNK + CHUNK_HEADER as u64, 1);
    let (_, found) = recover(&disk, 100_000);
    assert_eq!(found.end, 0);
    assert!(found.set_aside.is_empty(), "{found:?}");
}

#[test]
fn damage_to_deleted_records_is_no_damage() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 100_000);
    for _ in 0..2 {
        append(&files, 10, 0).unwrap();
        sync(&files).unwrap();
    }
    append(&files, 10, 0).unwrap();
    files.delete_before(20).unwrap();
    let path = files_in(&disk)[0].clone();
    disk.corrupt(&path, FIRST_CHUNK + CHUNK_HEADER as u64, 1);
    let (files, found) = recover(&disk, 100_000);
    assert!(files.start() >= 20);
    let is_missed = found.set_aside.iter().any(|aside| aside.was_durable);
    assert!(!is_missed, "{found:?}");
}

#[test]
fn a_gap_does_not_reach_past_the_end_of_its_file() {
    let (disk, path, mut bytes) = sealed_file();
    let (at, header) = *chunks_of(&bytes).last().unwrap();
    let gap = ChunkHeader {
        kind: ChunkKind::Gap,
        offsets: 1 << 40,
        payload: 0,
        ..header
    };
    put_header(&mut bytes, at, &gap);
    disk.put(&path, &bytes);
    let (files, _) = recover(&disk, 10_000);
    let back = read_all(&files);
    assert_eq!(back.gaps, []);
    assert_eq!(back.damaged, vec![header.first..header.end()]);
}

#[test]
fn a_start_of_another_topic_is_not_taken() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 100_000);
    append(&files, 50, 0).unwrap();
    sync(&files).unwrap();
    let mut other = name();
    other.topic_id = [8; 16];
    let start = remove::encode_start(&other, 20);
    disk.put(&Path::new(DIR).join(remove::LOG_START), &start);
    let (files, found) = recover(&disk, 100_000);
    assert_has(&files, 0..50, 0);
    assert_eq!(found.set_aside.len(), 1);
}

#[test]
fn a_file_of_another_topic_is_not_taken() {
    let (disk, path, bytes) = open_file();
    let (header, _) = header_of(&bytes);
    let other = FileHeader {
        topic_id: [8; 16],
        ..header
    };
    let mut bytes = bytes;
    bytes[..FILE_HEADER].copy_from_slice(&other.encode().0);
    disk.put(&path, &bytes);
    let (files, found) = recover(&disk, 100_000);
    assert_has(&files, 0..0, 0);
    assert_eq!(found.set_aside.len(), 1);
}

#[test]
fn a_damaged_file_header_does_not_hide_what_was_durable() {
    let at_header = 100;
    for (what, (disk, path, _), was_durable) in [
        ("sealed", sealed_file(), true),
        ("nothing was synced", open_file(), false),
    ] {
        disk.corrupt(&path, at_header, 1);
        let (_, found) = recover(&disk, 10_000);
        assert_eq!(found.set_aside[0].was_durable, was_durable, "{what}");
    }
    // By what its second chunk says of the first.
    let disk = ModelDisk::new(1);
    let files = create(&disk, 100_000);
    for _ in 0..2 {
        append(&files, 10, 0).unwrap();
        sync(&files).unwrap();
    }
    disk.corrupt(&files_in(&disk)[0], at_header, 1);
    let (_, found) = recover(&disk, 100_000);
    assert!(found.set_aside[0].was_durable);
}

#[test]
fn a_file_that_was_being_created_is_not_set_aside() {
    let (disk, _, _) = open_file();
    let path = Path::new(DIR).join(write::file_name(30));
    disk.put(&path, &[0; FIRST_CHUNK as usize]);
    let (files, found) = recover(&disk, 100_000);
    assert_has(&files, 0..30, 0);
    assert!(found.set_aside.is_empty() && !disk.paths().contains(&path));
}
