//! The bytes of keys and values: numbers are big-endian, and lengths come before what they count.
//!
//! What is read has a checksum (`log/files/` of ringlog), so bytes that cannot be read are of another
//! version. Such an entry is left alone, and reported.

use bytes::{Buf, BufMut};
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

/// Writes a key or a value.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// Begins with this byte: what kind of key it is, or which version of a value.
    pub(crate) fn new(first: u8) -> Writer {
        Writer(vec![first])
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn u8(mut self, value: u8) -> Writer {
        self.0.push(value);
        self
    }

    pub(crate) fn i16(mut self, value: i16) -> Writer {
        self.0.put_i16(value);
        self
    }

    pub(crate) fn i32(mut self, value: i32) -> Writer {
        self.0.put_i32(value);
        self
    }

    pub(crate) fn i64(mut self, value: i64) -> Writer {
        self.0.put_i64(value);
        self
    }

    pub(crate) fn u64(mut self, value: u64) -> Writer {
        self.0.put_u64(value);
        self
    }

    pub(crate) fn uuid(mut self, id: Uuid) -> Writer {
        self.0.put_slice(id.as_bytes());
        self
    }

    /// Bytes with their length.
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Writer {
        // Everything here comes out of a request, whose lengths are of 32 bits.
        self.0
            .put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.put_slice(bytes);
        self
    }

    pub(crate) fn text(self, text: &str) -> Writer {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn optional_text(self, text: Option<&str>) -> Writer {
        match text {
            Some(text) => self.u8(1).text(text),
            None => self.u8(0),
        }
    }

    /// Bytes to the end, without a length.
    pub(crate) fn rest(mut self, bytes: &[u8]) -> Writer {
        self.0.put_slice(bytes);
        self
    }

    pub(crate) fn time(self, time: Duration) -> Writer {
        self.u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    /// Items, each by this function, with their number.
    pub(crate) fn list<T>(
        mut self,
        items: impl ExactSizeIterator<Item = T>,
        item: impl FnMut(Writer, T) -> Writer,
    ) -> Writer {
        self.0.put_u32(items.len() as u32);
        items.fold(self, item)
    }

    /// Partitions, by topic and number.
    pub(crate) fn partitions(self, partitions: &BTreeSet<(Uuid, i32)>) -> Writer {
        self.list(partitions.iter(), |writer, (topic, number)| {
            writer.uuid(*topic).i32(*number)
        })
    }
}

/// Reads what a [`Writer`] has written. `None` where there is less.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// `None` if the first byte is another.
    pub(crate) fn new(bytes: &'a [u8], first: u8) -> Option<Reader<'a>> {
        let (found, rest) = bytes.split_first()?;
        (*found == first).then_some(Reader(rest))
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.0.try_get_u8().ok()
    }

    pub(crate) fn i16(&mut self) -> Option<i16> {
        self.0.try_get_i16().ok()
    }

    pub(crate) fn i32(&mut self) -> Option<i32> {
        self.0.try_get_i32().ok()
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.0.try_get_i64().ok()
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.0.try_get_u64().ok()
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn uuid(&mut self) -> Option<Uuid> {
        Uuid::from_slice(self.take(16)?).ok()
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.0.try_get_u32().ok()?;
        self.take(len as usize)
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    pub(crate) fn optional_text(&mut self) -> Option<Option<String>> {
        match self.u8()? {
            0 => Some(None),
            _ => Some(Some(self.text()?)),
        }
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn time(&mut self) -> Option<Duration> {
        Some(Duration::from_millis(self.u64()?))
    }

    pub(crate) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Reader<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = self.0.try_get_u32().ok()?;
        // Nothing is allocated by the number before the items are there.
        (0..count).map(|_| item(self)).collect()
    }

    pub(crate) fn partitions(&mut self) -> Option<BTreeSet<(Uuid, i32)>> {
        let listed = self.list(|reader| Some((reader.uuid()?, reader.i32()?)))?;
        Some(listed.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_that_is_cut() {
        let id = Uuid::from_u128(7);
        let partitions = BTreeSet::from([(id, 1), (id, 0)]);
        let written = Writer::new(3)
            .u8(1)
            .i16(-2)
            .i32(i32::MIN)
            .i64(-4)
            .u64(u64::MAX)
            .uuid(id)
            .text("orders")
            .optional_text(None)
            .optional_text(Some(""))
            .time(Duration::from_millis(5))
            .partitions(&partitions)
            .rest(b"rest")
            .into_bytes();
        let read = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes, 3)?;
            assert_eq!((reader.u8()?, reader.i16()?), (1, -2));
            assert_eq!((reader.i32()?, reader.i64()?), (i32::MIN, -4));
            assert_eq!((reader.u64()?, reader.uuid()?), (u64::MAX, id));
            assert_eq!(reader.text()?, "orders");
            assert_eq!(reader.optional_text()?, None);
            assert_eq!(reader.optional_text()?, Some(String::new()));
            assert_eq!(reader.time()?, Duration::from_millis(5));
            assert_eq!(reader.partitions()?, partitions);
            Some(reader.rest().to_vec())
        };
        assert_eq!(read(&written).as_deref(), Some(&b"rest"[..]));
        for end in 0..written.len() - 4 {
            assert_eq!(read(&written[..end]), None, "{end}");
        }
        assert!(Reader::new(&written, 4).is_none());
    }
}
