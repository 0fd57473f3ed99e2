//! The parts of a record as a reader gets them, and the check of the optional ones.

use crate::soak::fault::Fault;
use crate::soak::record::id::{HEADER, RecordId, SendKind, key_bytes};
use ringlog::{Header, RecordRef};

/// The parts of a record, from a read or from a test.
#[derive(Clone, Copy)]
pub(crate) struct RecordParts<'a> {
    pub(crate) offset: u64,
    pub(crate) time: Option<i64>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: &'a [u8],
    pub(crate) tombstone: bool,
    /// The first header, and whether there are more.
    pub(crate) header: Option<Header<'a>>,
    pub(crate) more_headers: bool,
}

impl<'a> RecordParts<'a> {
    #[inline]
    pub(crate) fn of(record: &RecordRef<'a>) -> RecordParts<'a> {
        let mut headers = record.headers();
        let header = headers.next();
        RecordParts {
            offset: record.offset(),
            time: record.timestamp(),
            key: record.key(),
            value: record.value_bytes(),
            tombstone: record.is_tombstone(),
            more_headers: header.is_some() && headers.next().is_some(),
            header,
        }
    }

    /// Checks key, header and tombstone.
    #[inline]
    pub(crate) fn check_rest(&self, id: RecordId, digest: u64) -> Result<(), Fault> {
        // The keys of fixed-size values only choose the partition.
        let key = match id.kind() {
            SendKind::Values => None,
            _ => key_bytes(id.key()),
        };
        if self.key != key {
            return Err(format!("{id:?}: the key {:?} is not its own", self.key));
        }
        if self.tombstone != is_tombstone(id) {
            return Err(format!("{id:?}: a tombstone: {}", self.tombstone));
        }
        if self.header.is_none() && !id.has_header() {
            return Ok(());
        }
        let value = digest.to_ne_bytes();
        let header = id.has_header().then(|| Header::new(HEADER, &value));
        if self.header != header || self.more_headers {
            return Err(format!(
                "{id:?}: the header {:?} is not its own",
                self.header
            ));
        }
        Ok(())
    }
}

/// Half of the records with a key and an empty value are tombstones.
pub(crate) fn is_tombstone(id: RecordId) -> bool {
    id.kind() == SendKind::Single && id.length() == 0 && id.key() > 0 && id.sequence() % 2 == 0
}
