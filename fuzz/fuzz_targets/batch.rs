//! Record batches whose length and checksum are right.

/// Where the length, the format, the checksum, and what it is of begin.
const LENGTH: usize = 8;
const FORMAT: usize = 16;
const CHECKSUM: usize = 17;
const CHECKED: usize = 21;

/// The bytes with their length, format and checksum made right, if they are long enough.
pub(crate) fn checked(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() > CHECKED {
        let length = (bytes.len() - LENGTH - 4) as i32;
        bytes[LENGTH..LENGTH + 4].copy_from_slice(&length.to_be_bytes());
        bytes[FORMAT] = 2;
        let checksum = crc32c::crc32c(&bytes[CHECKED..]);
        bytes[CHECKSUM..CHECKED].copy_from_slice(&checksum.to_be_bytes());
    }
    bytes
}
