//! Chunks of all sizes and kinds of frames, and how they are found in large files.

use super::*;
use crate::log::segment::Kind;
use format::{CHUNK_HEADER, ChunkHeader, FIRST_CHUNK};

/// What is at one offset.
#[derive(Clone, Debug, PartialEq)]
enum Slot {
    Record(Option<i64>, Vec<u8>),
    Aborted,
}

/// A chunk that is built frame by frame.
#[derive(Default)]
struct Frames {
    descriptors: Vec<u64>,
    data: Vec<u8>,
    slots: Vec<Slot>,
    latest: i64,
}

/// A descriptor: the kind, the length (or the records), and the position.
fn word(kind: Kind, length: usize, at: usize) -> u64 {
    (kind as u64) << 60 | (length as u64) << 28 | at as u64
}

impl Frames {
    fn new() -> Frames {
        Frames {
            latest: -1,
            ..Frames::default()
        }
    }

    fn pad(&mut self) {
        self.data.resize(self.data.len().next_multiple_of(8), 0);
    }

    /// Bytes of value and time, and their descriptor.
    fn put(&mut self, time: Option<i64>, value: &[u8]) -> u64 {
        let at = self.data.len();
        self.data.extend_from_slice(value);
        self.pad();
        let Some(time) = time else {
            return word(Kind::Untimed, value.len(), at);
        };
        self.data.extend_from_slice(&time.to_le_bytes());
        self.latest = self.latest.max(time);
        word(Kind::Timed, value.len(), at)
    }

    fn record(mut self, time: Option<i64>, value: &[u8]) -> Frames {
        let descriptor = self.put(time, value);
        self.descriptors.push(descriptor);
        self.slots.push(Slot::Record(time, value.to_vec()));
        self
    }

    fn aborted(mut self, records: usize) -> Frames {
        self.descriptors.push(word(Kind::Aborted, records, 0));
        self.descriptors
            .resize(self.descriptors.len() + records - 1, 0);
        self.slots.resize(self.slots.len() + records, Slot::Aborted);
        self
    }

    /// A frame of values of one length.
    fn uniform(mut self, time: i64, values: &[&[u8]]) -> Frames {
        let at = self.data.len();
        self.data.extend_from_slice(&time.to_le_bytes());
        let length = values[0].len() as u32;
        self.data.extend_from_slice(&length.to_le_bytes());
        self.data.extend_from_slice(&[0; 4]);
        values
            .iter()
            .for_each(|value| self.data.extend_from_slice(value));
        self.pad();
        self.several(word(Kind::Uniform, values.len(), at), time, values)
    }

    /// A frame of a table.
    fn table(mut self, time: i64, values: &[&[u8]]) -> Frames {
        let at = self.data.len();
        self.data.extend_from_slice(&time.to_le_bytes());
        let table = self.data.len();
        self.data.resize(table + values.len() * 8, 0);
        for (number, value) in values.iter().enumerate() {
            let descriptor = self.put(None, value);
            self.data[table + number * 8..][..8].copy_from_slice(&descriptor.to_le_bytes());
        }
        self.several(word(Kind::Table, values.len(), at), time, values)
    }

    fn several(mut self, descriptor: u64, time: i64, values: &[&[u8]]) -> Frames {
        self.latest = self.latest.max(time);
        self.descriptors.push(descriptor);
        self.descriptors
            .resize(self.descriptors.len() + values.len() - 1, 0);
        let slots = values
            .iter()
            .map(|value| Slot::Record(Some(time), value.to_vec()));
        self.slots.extend(slots);
        self
    }

    /// Appends them, and adds them to what is expected.
    fn append(self, files: &PartitionFiles, expected: &mut Vec<Slot>) {
        let mut buffer = ChunkBuffer::new();
        let slots = self.descriptors.len() as u32;
        let (descriptors, data) = buffer.begin(files.written_end(), slots, self.data.len());
        descriptors.copy_from_slice(&self.descriptors);
        data.copy_from_slice(&self.data);
        buffer.set_latest_time(self.latest);
        files.append(&mut buffer).unwrap();
        expected.extend(self.slots);
    }
}

/// What the chunk at `offset` holds.
fn slots_at(files: &PartitionFiles, offset: u64) -> Vec<Slot> {
    let Found::Chunk(chunk) = files.read(offset) else {
        panic!("nothing at {offset}")
    };
    let segment = chunk.segment();
    let mut slots = vec![Slot::Aborted; segment.shape().records as usize];
    let mut slot = 0;
    while slot < segment.shape().records {
        let descriptor = segment.descriptor(slot);
        if descriptor.kind() != Kind::Aborted {
            let run = RecordRun {
                base: chunk.first_offset(),
                slot,
                records: descriptor.slots(),
                ..RecordRun::default()
            };
            for record in StoredRecords::new(&run, &segment) {
                let at = (record.offset - chunk.first_offset()) as usize;
                slots[at] = Slot::Record(record.timestamp(), record.value_bytes().to_vec());
            }
        }
        slot += descriptor.slots();
    }
    slots
}

fn all_slots(files: &PartitionFiles) -> Vec<Slot> {
    let (mut all, mut at) = (Vec::new(), files.start());
    while at < files.written_end() {
        let slots = slots_at(files, at);
        at += slots.len() as u64;
        all.extend(slots);
    }
    all
}

#[test]
fn frames_of_every_kind_and_size_are_read_as_they_were_appended() {
    let disk = ModelDisk::new(1);
    let mut files = create(&disk, 10_000);
    let mut expected = Vec::new();
    // More than is summed at once, and more than a file.
    let long: Vec<u8> = (0..3 << 20).map(|i| (i / 3) as u8).collect();
    for value in [&[][..], b"1", b"1234567", b"12345678", b"123456789", &long] {
        for time in [None, Some(0), Some(i64::MAX)] {
            Frames::new()
                .record(time, value)
                .append(&files, &mut expected);
        }
        Frames::new()
            .aborted(3)
            .record(None, value)
            .uniform(7, &[value, value])
            .table(9, &[value, b"x", value])
            .record(Some(3), value)
            .append(&files, &mut expected);
        sync(&files).unwrap();
        Frames::new().aborted(1).append(&files, &mut expected);
    }
    let end = files.written_end();
    assert!(expected == all_slots(&files));
    for power_is_cut in [false, true] {
        if power_is_cut {
            sync(&files).unwrap();
            disk.restart();
        } else {
            disk.kill();
        }
        let recovered = recover(&disk, 10_000);
        files = recovered.0;
        assert_eq!((recovered.1.start, recovered.1.end), (0, end));
        assert!(expected == all_slots(&files));
    }
}

#[test]
fn a_chunk_begins_where_it_has_to() {
    // Chunks of every size up to some pages, with and without a sync between.
    let disk = ModelDisk::new(1);
    let files = create(&disk, 1 << 30);
    let mut expected = Vec::new();
    for size in (0..9000).step_by(37) {
        Frames::new()
            .record(None, &vec![7; size])
            .append(&files, &mut expected);
        if size % 3 == 0 {
            sync(&files).unwrap();
        }
    }
    assert!(expected == all_slots(&files));
    disk.kill();
    assert!(expected == all_slots(&recover(&disk, 1 << 30).0));
}

/// One sealed file of several index entries, and an open one.
fn large() -> (ModelDisk, u64) {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 300_000);
    while files_in(&disk).len() < 2 {
        append(&files, 100, 0).unwrap();
    }
    sync(&files).unwrap();
    (disk, files.written_end())
}

/// Positions and headers of the chunks of a file.
fn chunks_of(bytes: &[u8]) -> Vec<(usize, ChunkHeader)> {
    let positions = (FIRST_CHUNK as usize..bytes.len()).step_by(64);
    let header = |at| Some((at, ChunkHeader::decode(&bytes[at..])?.0));
    positions.filter_map(header).collect()
}

#[test]
fn damage_below_an_index_entry_is_found_and_what_is_around_it_is_read() {
    let (disk, end) = large();
    let path = files_in(&disk)[0].clone();
    let bytes = disk.bytes(&path);
    let chunks = chunks_of(&bytes);
    assert!(chunks.len() > 50 && bytes.len() > 4 * (64 << 10));
    let entry_after = |at: usize| {
        // As the index is made: one for about each 64 KiB.
        let mut last = 0;
        let entries = chunks.iter().filter(|&&(position, _)| {
            let is_entry = last == 0 || position - last >= 64 << 10;
            if is_entry {
                last = position;
            }
            is_entry
        });
        let mut entries: Vec<_> = entries.collect();
        entries.retain(|&&(position, _)| position > at);
        entries.first().map(|(_, header)| header.first)
    };
    for (number, &(at, header)) in chunks.iter().enumerate() {
        // In the payload: the chunk is lost. In the header: what follows up to the next entry.
        for (byte, damaged) in [
            (at + CHUNK_HEADER, header.first..header.end()),
            (
                at + 20,
                header.first..entry_after(at).unwrap_or(chunks.last().unwrap().1.end()),
            ),
        ] {
            let fork = disk.fork();
            fork.corrupt(&path, byte as u64, 0x10);
            let (files, found) = recover(&fork, 300_000);
            assert_eq!((found.scanned_bytes > 0, found.end), (true, end));
            let back = read_all(&files);
            assert_eq!(
                back.damaged,
                std::slice::from_ref(&damaged),
                "chunk {number}"
            );
            let whole = (0..end).filter(|offset| !damaged.contains(offset));
            let whole: Vec<_> = whole.map(|offset| (offset, value(offset, 0))).collect();
            assert!(back.records == whole, "chunk {number}");
            let middle = (damaged.start + damaged.end) / 2;
            let Found::Damaged { next, fault } = files.read(middle) else {
                panic!("chunk {number}: {middle} is read")
            };
            let StorageError::Damaged {
                path: named,
                from,
                to,
                ..
            } = &fault
            else {
                panic!("{fault}")
            };
            assert_eq!(
                (named, *from, *to, next),
                (&path, middle, damaged.end, damaged.end)
            );
        }
    }
}

#[test]
fn a_time_is_found_beyond_damage_and_in_a_file_without_an_index() {
    let (disk, end) = large();
    let path = files_in(&disk)[0].clone();
    let bytes = disk.bytes(&path);
    let third = chunks_of(&bytes)[2];
    disk.corrupt(&path, third.0 as u64 + 20, 1);
    for damages_index in [false, true] {
        if damages_index {
            let used = bytes.iter().rposition(|&byte| byte != 0).unwrap();
            disk.corrupt(&path, used as u64, 1);
        }
        let (files, _) = recover(&disk, 300_000);
        // Each record's time is its offset.
        assert_eq!(files.find_time(150, 0), Some(100));
        let last = end as i64 - 1;
        assert_eq!(files.find_time(last, 0), Some(end - 100));
        assert_eq!(files.find_time(last + 1, 0), None);
        if !damages_index {
            // By the next entry, which is later.
            let found = files.find_time(1900, 0).unwrap();
            assert!(found <= 1900 + 2000, "{found}");
        }
    }
}

#[test]
fn descriptors_that_lead_elsewhere_are_damage_whatever_the_checksums_say() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 100_000);
    let mut expected = Vec::new();
    Frames::new()
        .uniform(7, &[b"abc", b"def"])
        .table(9, &[b"abc", b"x"])
        .record(Some(3), b"value")
        .append(&files, &mut expected);
    sync(&files).unwrap();
    let path = files_in(&disk)[0].clone();
    let bytes = disk.bytes(&path);
    let (at, header) = chunks_of(&bytes)[0];
    let payload = at + CHUNK_HEADER..at + CHUNK_HEADER + header.payload as usize;
    let (mut damaged, mut alike) = (0, 0);
    for byte in payload.clone() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[byte] ^= 1 << bit;
            let header = ChunkHeader {
                payload_crc: crc32c::crc32c(&bytes[payload.clone()]),
                ..header
            };
            bytes[at..at + CHUNK_HEADER].copy_from_slice(&header.encode().0);
            let fork = disk.fork();
            fork.put(&path, &bytes);
            let (files, _) = recover(&fork, 100_000);
            match files.read(0) {
                Found::Chunk(_) => {
                    assert_eq!(slots_at(&files, 0).len(), expected.len());
                    alike += 1;
                }
                Found::Damaged { next, fault } => {
                    assert_eq!(next, expected.len() as u64, "{fault}");
                    damaged += 1;
                }
                _ => panic!("byte {byte}, bit {bit}"),
            }
        }
    }
    assert!(damaged > 100 && alike > 100, "{damaged} {alike}");
}
