//! What an input does to the files.

use crate::layout::{self, Repair, number_at, put_number};
use crate::template::{Files, TOPIC_ID};
use arbitrary::{Result, Unstructured};

/// Changes of an input.
const MOST_EDITS: usize = 12;

/// A file is not made longer than this.
const MOST_BYTES: usize = 256 << 10;

pub(crate) fn file_name(base: u64) -> String {
    format!("{base:020}.rl")
}

/// The files of an input: mostly some of the written ones, with some changes.
pub(crate) fn files(written: &Files, u: &mut Unstructured<'_>) -> Result<Files> {
    let mut files = written.clone();
    let kept: u8 = u.arbitrary()?;
    let mut number = 0;
    files.partition.retain(|_, _| {
        number += 1;
        // Mostly all of them.
        kept & 0xf0 != 0xf0 || kept & (1 << ((number - 1) % 4)) != 0
    });
    let repair: u8 = u.arbitrary()?;
    for _ in 0..u.int_in_range(0..=MOST_EDITS)? {
        edit(&mut files, u)?;
    }
    let is_set = |bit: u8| repair & (1 << bit) != 0;
    let repair = Repair {
        header: is_set(0),
        payloads: is_set(1),
        chunks: is_set(2),
        chain: is_set(3),
        seal: is_set(4),
    };
    for (name, bytes) in &mut files.partition {
        if name.ends_with(".rl") {
            repair.apply(bytes);
        }
    }
    Ok(files)
}

/// The name of one of the files.
fn choose(files: &Files, u: &mut Unstructured<'_>) -> Result<Option<String>> {
    let names: Vec<&String> = files.partition.keys().collect();
    if names.is_empty() {
        return Ok(None);
    }
    Ok(Some(names[u.choose_index(names.len())?].clone()))
}

fn edit(files: &mut Files, u: &mut Unstructured<'_>) -> Result<()> {
    let kind = u.int_in_range(0..=31u8)?;
    match kind {
        0 => {
            files.topic = None;
            return Ok(());
        }
        1 => {
            if let Some(topic) = &mut files.topic {
                let at = u.choose_index(topic.len())?;
                topic[at] ^= u.arbitrary::<u8>()?;
            }
            return Ok(());
        }
        2 | 3 => {
            let mut bytes = layout::log_start(TOPIC_ID, offset(files, u)?);
            if u.ratio(1, 8u8)? {
                let at = u.choose_index(bytes.len())?;
                bytes[at] ^= u.arbitrary::<u8>()?;
            }
            files.partition.insert("log-start".to_owned(), bytes);
            return Ok(());
        }
        4 => {
            files.partition.insert("sync-failed".to_owned(), Vec::new());
            return Ok(());
        }
        _ => {}
    }
    let Some(name) = choose(files, u)? else {
        return Ok(());
    };
    match kind {
        5 => {
            files.partition.remove(&name);
        }
        6 | 7 => {
            // Under another name: that of a file that is there, or another.
            let bytes = files.partition[&name].clone();
            let other = match u.arbitrary()? {
                true => choose(files, u)?.unwrap_or_default(),
                false => file_name(offset(files, u)?),
            };
            if kind == 7 {
                files.partition.remove(&name);
            }
            // It says so itself, perhaps.
            let mut bytes = bytes;
            if let (true, Ok(base)) = (u.arbitrary()?, other.trim_end_matches(".rl").parse()) {
                put_number(&mut bytes, 40, 8, base);
            }
            files.partition.insert(other, bytes);
        }
        8 => {
            // A part of another file, at the same place or at another.
            let other = choose(files, u)?.unwrap_or_default();
            let other = files.partition[&other].clone();
            let from = u.int_in_range(0..=other.len() / 64)? * 64;
            let len = u.int_in_range(0..=64usize)? * 64;
            let part = &other[from..(from + len).min(other.len())];
            let to = match u.arbitrary()? {
                true => from,
                false => place(&files.partition[&name], u)?,
            };
            let bytes = files.partition.entry(name).or_default();
            if to + part.len() > MOST_BYTES {
                return Ok(());
            }
            bytes.resize(bytes.len().max(to + part.len()), 0);
            bytes[to..to + part.len()].copy_from_slice(part);
        }
        _ => {
            let offset = offset(files, u)?;
            let bytes = files.partition.entry(name).or_default();
            change(bytes, kind, offset, u)?;
        }
    }
    Ok(())
}

/// Changes the bytes of one file.
fn change(bytes: &mut Vec<u8>, kind: u8, offset: u64, u: &mut Unstructured<'_>) -> Result<()> {
    match kind {
        9 => {
            let len = place(bytes, u)?;
            bytes.truncate(len);
        }
        10 => {
            let more = u.int_in_range(0..=4u8)? as usize * layout::PAGE;
            bytes.resize((bytes.len() + more).min(MOST_BYTES), 0);
        }
        11 => {
            let at = place(bytes, u)?;
            let end = (at + u.int_in_range(0..=4096usize)?).min(bytes.len());
            bytes[at..end].fill(0);
        }
        12 | 13 => {
            // Not sealed.
            let end = (layout::SEAL_AT + layout::SEAL).min(bytes.len());
            bytes[layout::SEAL_AT.min(end)..end].fill(0);
        }
        14 => {
            // A chunk becomes a gap.
            if let Some(at) = chunk(bytes, u)? {
                put_number(bytes, at + 8, 4, 2);
                put_number(bytes, at + 12, 4, 0);
                put_number(bytes, at + 32, 4, 0);
                if u.arbitrary()? {
                    put_number(bytes, at + 24, 8, offset);
                }
            }
        }
        15..=18 => {
            let at = place(bytes, u)?;
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << u.int_in_range(0..=7u8)?;
            }
        }
        19..=21 => {
            // A word of a payload: a descriptor, a length, a time.
            if let Some(at) = chunk(bytes, u)? {
                let words = layout::payload_len(bytes, at) / 8;
                let word = u.int_in_range(0..=words.min(40))?;
                field(bytes, at + layout::CHUNK_HEADER + word * 8, 8, offset, u)?;
            }
        }
        22 | 23 => {
            let (at, width) = *u.choose(layout::HEADER_FIELDS)?;
            field(bytes, at, width, offset, u)?;
        }
        24 | 25 => {
            let (at, width) = *u.choose(layout::SEAL_FIELDS)?;
            field(bytes, layout::SEAL_AT + at, width, offset, u)?;
        }
        26 => {
            if let Some(index) = layout::index(bytes) {
                let entries = index.len() / layout::INDEX_ENTRY;
                let entry = u.int_in_range(0..=entries.saturating_sub(1))?;
                let (at, width) = *u.choose(layout::ENTRY_FIELDS)?;
                let at = index.start + entry * layout::INDEX_ENTRY + at;
                field(bytes, at, width, offset, u)?;
            }
        }
        _ => {
            if let Some(chunk) = chunk(bytes, u)? {
                let (at, width) = *u.choose(layout::CHUNK_FIELDS)?;
                field(bytes, chunk + at, width, offset, u)?;
            }
        }
    }
    Ok(())
}

/// The position of a chunk.
fn chunk(bytes: &[u8], u: &mut Unstructured<'_>) -> Result<Option<usize>> {
    let chunks = layout::chunks(bytes);
    if chunks.is_empty() {
        return Ok(None);
    }
    Ok(Some(chunks[u.choose_index(chunks.len())?]))
}

/// A position at which something is.
fn place(bytes: &[u8], u: &mut Unstructured<'_>) -> Result<usize> {
    let near = match u.int_in_range(0..=5u8)? {
        0 => 0,
        1 => layout::SEAL_AT,
        2 => layout::index(bytes).map_or(0, |index| index.start),
        3 => return u.int_in_range(0..=bytes.len()),
        _ => chunk(bytes, u)?.unwrap_or(0),
    };
    let at = near + u.int_in_range(0..=layout::FILE_HEADER)?;
    Ok(at.min(bytes.len()))
}

/// An offset like those of the files, or any.
fn offset(files: &Files, u: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match u.int_in_range(0..=7u8)? {
        0 => u.arbitrary()?,
        1 => u64::MAX - u64::from(u.arbitrary::<u8>()?),
        2 => 1 << u.int_in_range(0..=63u8)?,
        3 => {
            let names = files.partition.keys();
            let bases = names.filter_map(|name| name.strip_suffix(".rl")?.parse().ok());
            let bases: Vec<u64> = bases.collect();
            match bases.is_empty() {
                true => 0,
                false => bases[u.choose_index(bases.len())?],
            }
        }
        _ => u.arbitrary::<u8>()?.into(),
    })
}

/// Changes a number.
fn field(
    bytes: &mut [u8],
    at: usize,
    width: usize,
    offset: u64,
    u: &mut Unstructured<'_>,
) -> Result<()> {
    let old = number_at(bytes, at, width);
    let new = match u.int_in_range(0..=6u8)? {
        0 => 0,
        1 => u64::MAX,
        2 => offset,
        3 => old ^ 1 << u.int_in_range(0..=width * 8 - 1)?,
        4 => u.arbitrary()?,
        _ => old.wrapping_add(i64::from(u.arbitrary::<i8>()?) as u64),
    };
    put_number(bytes, at, width, new);
    Ok(())
}
