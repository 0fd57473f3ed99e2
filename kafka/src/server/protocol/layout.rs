//! The layout of every request that is served, to check a request before it is decoded.
//!
//! The decoders of `kafka-protocol` reserve memory for an array by the length that the request
//! states. So a request of a few bytes could ask for gigabytes. [`Layout::check`] walks over the
//! request first, and accepts it only if all that it states is there.

/// A request's fields by version.
#[derive(Debug)]
pub(crate) struct Layout {
    /// From this version on, lengths are compact and structures end with tagged fields.
    pub(crate) flexible_from: i16,
    pub(crate) fields: &'static [Field],
}

/// A field, in the versions that have it.
#[derive(Debug)]
pub(crate) struct Field {
    from: i16,
    to: i16,
    kind: Kind,
}

/// What a field is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A number, a boolean or a UUID, with its length in bytes.
    Fixed(usize),
    /// A string, which may be null.
    Text,
    /// Bytes, which may be null.
    Bytes,
    /// An array of values that are not structures; it may be null.
    List(&'static Kind),
    /// An array of structures; it may be null.
    Structs(&'static [Field]),
    /// The same, where the decoder knows tagged fields: their tags, and how many bytes each takes.
    /// It reads these bytes whatever length is stated, so another length would put it out of step.
    TaggedStructs(&'static [Field], &'static [(u32, u32)]),
    /// A structure, which may be null.
    Optional(&'static [Field]),
}

/// A field of all versions.
pub(crate) const fn always(kind: Kind) -> Field {
    between(0, i16::MAX, kind)
}

/// A field of this version and later ones.
pub(crate) const fn from(version: i16, kind: Kind) -> Field {
    between(version, i16::MAX, kind)
}

/// A field of this version and earlier ones.
pub(crate) const fn until(version: i16, kind: Kind) -> Field {
    between(0, version, kind)
}

/// A field of these versions, both included.
pub(crate) const fn between(from: i16, to: i16, kind: Kind) -> Field {
    Field { from, to, kind }
}

/// What is wrong with a request's bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LayoutFault {
    #[error("it ends within a field")]
    Cut,
    #[error("a length of {length} is negative")]
    NegativeLength { length: i64 },
    #[error("{presence} stands neither for a structure (1) nor for null (-1)")]
    Presence { presence: i8 },
    #[error("a text of {length} bytes is longer than 32767")]
    TextLength { length: usize },
    #[error("its tagged field {tag} is of {length} bytes, but must be of {expected}")]
    TaggedLength {
        tag: u32,
        length: u32,
        expected: u32,
    },
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    is_flexible: bool,
}

impl Layout {
    /// Checks that `body`, without its header, begins with a request of this layout. Returns the
    /// number of bytes after that, which Kafka ignores.
    pub(crate) fn check(&self, version: i16, body: &[u8]) -> Result<usize, LayoutFault> {
        let mut walk = Walk {
            rest: body,
            version,
            is_flexible: version >= self.flexible_from,
        };
        walk.fields(self.fields, &[])?;
        Ok(walk.rest.len())
    }
}

/// Takes an unsigned integer of variable length, of up to 32 bits.
pub(crate) fn take_unsigned(bytes: &mut &[u8]) -> Result<u32, LayoutFault> {
    let mut value = 0u32;
    for i in 0..5 {
        let (&byte, rest) = bytes.split_first().ok_or(LayoutFault::Cut)?;
        *bytes = rest;
        value |= u32::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(LayoutFault::Cut)
}

/// Skips tagged fields, of which none is known to the decoder.
pub(crate) fn skip_tags(bytes: &mut &[u8]) -> Result<(), LayoutFault> {
    skip_known_tags(bytes, &[])
}

fn skip_known_tags(bytes: &mut &[u8], known: &[(u32, u32)]) -> Result<(), LayoutFault> {
    for _ in 0..take_unsigned(bytes)? {
        let tag = take_unsigned(bytes)?;
        let length = take_unsigned(bytes)?;
        match known.iter().find(|(known, _)| *known == tag) {
            Some(&(_, expected)) if length != expected => {
                return Err(LayoutFault::TaggedLength {
                    tag,
                    length,
                    expected,
                });
            }
            _ => {}
        }
        *bytes = bytes.get(length as usize..).ok_or(LayoutFault::Cut)?;
    }
    Ok(())
}

impl Walk<'_> {
    fn fields(&mut self, fields: &[Field], tags: &[(u32, u32)]) -> Result<(), LayoutFault> {
        for field in fields {
            if (field.from..=field.to).contains(&self.version) {
                self.value(&field.kind)?;
            }
        }
        match self.is_flexible {
            true => skip_known_tags(&mut self.rest, tags),
            false => Ok(()),
        }
    }

    fn value(&mut self, kind: &Kind) -> Result<(), LayoutFault> {
        match kind {
            Kind::Fixed(bytes) => self.skip(*bytes),
            Kind::Text => {
                // In flexible versions a length may be greater, but no text may be longer, as in Kafka.
                match self.length(2)? {
                    length if length <= i16::MAX as usize => self.skip(length),
                    length => Err(LayoutFault::TextLength { length }),
                }
            }
            Kind::Bytes => {
                let length = self.length(4)?;
                self.skip(length)
            }
            Kind::List(kind) => {
                for _ in 0..self.length(4)? {
                    self.value(kind)?;
                }
                Ok(())
            }
            Kind::Structs(fields) => self.structs(fields, &[]),
            Kind::TaggedStructs(fields, tags) => self.structs(fields, tags),
            Kind::Optional(fields) => {
                let (&presence, rest) = self.rest.split_first().ok_or(LayoutFault::Cut)?;
                self.rest = rest;
                match presence as i8 {
                    -1 => Ok(()),
                    1 => self.fields(fields, &[]),
                    // The decoder takes all others for null, and Kafka some for a structure.
                    presence => Err(LayoutFault::Presence { presence }),
                }
            }
        }
    }

    fn structs(&mut self, fields: &[Field], tags: &[(u32, u32)]) -> Result<(), LayoutFault> {
        for _ in 0..self.length(4)? {
            self.fields(fields, tags)?;
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) -> Result<(), LayoutFault> {
        self.rest = self.rest.get(bytes..).ok_or(LayoutFault::Cut)?;
        Ok(())
    }

    /// A length: compact, or of `bytes` bytes. Null counts as zero.
    fn length(&mut self, bytes: usize) -> Result<usize, LayoutFault> {
        if self.is_flexible {
            return Ok((take_unsigned(&mut self.rest)? as usize).saturating_sub(1));
        }
        let (length, rest) = self.rest.split_at_checked(bytes).ok_or(LayoutFault::Cut)?;
        self.rest = rest;
        let length = match *length {
            [a, b] => i64::from(i16::from_be_bytes([a, b])),
            [a, b, c, d] => i64::from(i32::from_be_bytes([a, b, c, d])),
            _ => return Err(LayoutFault::Cut),
        };
        match length {
            -1 => Ok(0),
            length => usize::try_from(length).map_err(|_| LayoutFault::NegativeLength { length }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout {
        flexible_from: 2,
        fields: &[
            always(Kind::Text),
            between(1, 1, Kind::Fixed(2)),
            always(Kind::Structs(&[always(Kind::List(&Kind::Fixed(4)))])),
        ],
    };

    #[test]
    fn a_structure_may_be_null() {
        const OPTIONAL: Layout = Layout {
            flexible_from: 0,
            fields: &[always(Kind::Optional(&[always(Kind::Fixed(4))]))],
        };
        // Each structure ends with the number of its tagged fields.
        assert_eq!(OPTIONAL.check(0, &[0xff, 0]), Ok(0));
        assert_eq!(OPTIONAL.check(0, &[1, 9, 9, 9, 9, 0, 0]), Ok(0));
        for cut in [&[][..], &[0xff], &[1, 9, 9, 9], &[1, 9, 9, 9, 9, 0]] {
            assert_eq!(OPTIONAL.check(0, cut), Err(LayoutFault::Cut), "{cut:?}");
        }
        let fault = OPTIONAL.check(0, &[0, 9, 9, 9, 9, 0, 0]);
        assert_eq!(fault, Err(LayoutFault::Presence { presence: 0 }));
    }

    #[test]
    fn a_request_is_accepted_as_its_version_lays_it_out() {
        let v0 = [0, 1, b'a', 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9];
        let v1 = [0, 1, b'a', 7, 7, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9];
        let v2 = [2, b'a', 2, 2, 9, 9, 9, 9, 1, 5, 1, 0, 0];
        for (version, bytes) in [(0, &v0[..]), (1, &v1), (2, &v2)] {
            assert_eq!(LAYOUT.check(version, bytes), Ok(0), "{version}");
            for end in 0..bytes.len() {
                let cut = LAYOUT.check(version, &bytes[..end]);
                assert_eq!(cut, Err(LayoutFault::Cut), "{version} {end}");
            }
            let longer = [bytes, &[0]].concat();
            assert_eq!(LAYOUT.check(version, &longer), Ok(1));
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_refused_in_flexible_versions_too() {
        let of = |length: usize| {
            // Its length and 1, in three bytes.
            let stated = length + 1;
            let mut bytes = vec![
                stated as u8 | 0x80,
                (stated >> 7) as u8 | 0x80,
                (stated >> 14) as u8,
            ];
            bytes.resize(bytes.len() + length, b'a');
            bytes.extend([1, 0]);
            LAYOUT.check(2, &bytes)
        };
        assert_eq!(of(32_767), Ok(0));
        let length = 32_768;
        assert_eq!(of(length), Err(LayoutFault::TextLength { length }));
    }

    #[test]
    fn a_length_that_is_not_there_is_refused() {
        let millions = [0, 0, 0x7f, 0xff, 0xff, 0xff];
        assert_eq!(LAYOUT.check(0, &millions), Err(LayoutFault::Cut));
        let millions = [1, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(LAYOUT.check(2, &millions), Err(LayoutFault::Cut));
        let length = -2;
        let negative = Err(LayoutFault::NegativeLength { length });
        assert_eq!(LAYOUT.check(0, &[0xff, 0xfe]), negative);
    }
}
