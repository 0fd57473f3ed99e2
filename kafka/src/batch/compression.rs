//! The four codecs, each with a limit on what comes out.

use super::InvalidBatch;
use core::fmt;
use std::io::{self, Read, Write};

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy: one raw block, or the blocks of snappy-java's stream.
    Snappy,
    /// LZ4's frame format.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// What snappy-java's stream begins with; two version numbers of 4 bytes follow.
const SNAPPY_JAVA_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const SNAPPY_JAVA_HEADER_BYTES: usize = 16;

impl Codec {
    /// All of them.
    pub const ALL: [Codec; 5] = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];

    pub(super) fn from_attributes(attributes: i16) -> Result<Codec, InvalidBatch> {
        let codec = (attributes & 7) as u8;
        let found = Codec::ALL.get(usize::from(codec)).copied();
        found.ok_or(InvalidBatch::UnknownCodec { codec })
    }

    pub(super) fn attributes(self) -> i16 {
        self as i16
    }

    /// Decompresses to `limit` bytes at most.
    pub(super) fn decompress(self, bytes: &[u8], limit: usize) -> Result<Vec<u8>, InvalidBatch> {
        let out = match self {
            Codec::None => Ok(limited(bytes.len(), limit).then(|| bytes.to_vec())),
            Codec::Gzip => read_limited(flate2::bufread::MultiGzDecoder::new(bytes), limit),
            Codec::Snappy => decompress_snappy(bytes, limit),
            Codec::Lz4 => read_limited(lz4_flex::frame::FrameDecoder::new(bytes), limit),
            Codec::Zstd => zstd::stream::read::Decoder::with_buffer(bytes)
                .and_then(|decoder| read_limited(decoder, limit)),
        };
        match out {
            Ok(Some(out)) => Ok(out),
            Ok(None) => Err(InvalidBatch::DecompressedTooLarge {
                codec: self,
                limit: limit as u64,
            }),
            Err(error) => Err(InvalidBatch::Decompression {
                codec: self,
                reason: error.to_string(),
            }),
        }
    }

    /// Compresses, at the codec's default level.
    pub(super) fn compress(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Codec::None => Ok(bytes.to_vec()),
            Codec::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Codec::Snappy => snap::raw::Encoder::new()
                .compress_vec(bytes)
                .map_err(io::Error::other),
            Codec::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(bytes)?;
                encoder.finish().map_err(io::Error::other)
            }
            Codec::Zstd => zstd::stream::encode_all(bytes, 0),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        })
    }
}

fn limited(bytes: usize, limit: usize) -> bool {
    bytes <= limit
}

/// All that the decoder yields; `None` if that is more than the limit.
fn read_limited(decoder: impl Read, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    let mut decoder = decoder.take(limit as u64 + 1);
    decoder.read_to_end(&mut out)?;
    Ok(limited(out.len(), limit).then_some(out))
}

/// One raw block, or snappy-java's stream: blocks with their lengths in front.
fn decompress_snappy(bytes: &[u8], limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    if !bytes.starts_with(SNAPPY_JAVA_MAGIC) {
        let fits = append_snappy_block(bytes, limit, &mut out)?;
        return Ok(fits.then_some(out));
    }
    let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the stream of blocks is cut");
    let mut rest = bytes.get(SNAPPY_JAVA_HEADER_BYTES..).ok_or_else(cut)?;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = u32::from_be_bytes(*length) as usize;
        let block = after.get(..length).ok_or_else(cut)?;
        rest = &after[length..];
        if !append_snappy_block(block, limit, &mut out)? {
            return Ok(None);
        }
    }
    Ok(Some(out))
}

/// Returns `false` if the block does not fit within the limit.
fn append_snappy_block(block: &[u8], limit: usize, out: &mut Vec<u8>) -> io::Result<bool> {
    let begin = out.len();
    let length = snap::raw::decompress_len(block).map_err(io::Error::other)?;
    if !limited(begin.saturating_add(length), limit) {
        return Ok(false);
    }
    // The length is the block's own word, and a block of a few bytes may state 4 GB. A block cannot
    // be compressed to less than a 64th: its longest copy takes 3 bytes, and makes 64.
    if length / 64 > block.len() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the block states a length that it cannot have",
        ));
    }
    out.resize(begin + length, 0);
    let written = snap::raw::Decoder::new()
        .decompress(block, &mut out[begin..])
        .map_err(io::Error::other)?;
    out.truncate(begin + written);
    Ok(true)
}
