//! Integers of variable length: seven bits a byte, the lowest first; signed ones in zigzag form.

/// Takes an unsigned integer from the front of `bytes`. `None` if it is cut, or too long.
#[inline]
fn take_unsigned(bytes: &mut &[u8], max_bytes: usize) -> Option<u64> {
    let mut value = 0u64;
    for i in 0..max_bytes {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Takes a signed integer of up to 32 bits.
#[inline]
pub(super) fn take_i32(bytes: &mut &[u8]) -> Option<i32> {
    if let Some((&byte, rest)) = bytes.split_first()
        && byte < 0x80
    {
        *bytes = rest;
        return Some(i32::from(byte >> 1) ^ -i32::from(byte & 1));
    }
    let value = take_unsigned(bytes, 5)? as u32;
    Some((value >> 1) as i32 ^ -((value & 1) as i32))
}

/// Takes a signed integer of up to 64 bits.
#[inline]
pub(super) fn take_i64(bytes: &mut &[u8]) -> Option<i64> {
    let value = take_unsigned(bytes, 10)?;
    Some((value >> 1) as i64 ^ -((value & 1) as i64))
}

#[inline]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The bytes that `put` takes for this value.
#[inline]
pub(super) fn size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends a signed integer.
#[inline]
pub(super) fn put(out: &mut Vec<u8>, value: i64) {
    let mut value = zigzag(value);
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_survive_a_round_trip() {
        for shift in 0..64 {
            for value in [
                1i64 << shift,
                (1i64 << shift).wrapping_neg(),
                !(1i64 << shift),
            ] {
                let mut bytes = Vec::new();
                put(&mut bytes, value);
                assert_eq!(bytes.len(), size(value), "{value}");
                let mut rest = &bytes[..];
                assert_eq!(take_i64(&mut rest), Some(value));
                assert!(rest.is_empty());
                if let Ok(small) = i32::try_from(value) {
                    assert_eq!(take_i32(&mut &bytes[..]), Some(small));
                }
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_protocol_guide() {
        for (value, expected) in [
            (0, &[0u8][..]),
            (-1, &[1]),
            (63, &[126]),
            (-64, &[127]),
            (64, &[0x80, 1]),
            (300, &[0xd8, 4]),
        ] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert_eq!(bytes, expected, "{value}");
        }
    }

    #[test]
    fn cut_and_overlong_integers_are_refused() {
        assert_eq!(take_i32(&mut &[][..]), None);
        assert_eq!(take_i32(&mut &[0x80][..]), None);
        assert_eq!(take_i32(&mut &[0xff; 6][..]), None);
        assert_eq!(take_i64(&mut &[0xff; 11][..]), None);
    }
}
