//! Random numbers from a seed, so that every choice of a run can be repeated.

/// Spreads a number over all bits: each bit of `x` changes about half of them.
#[inline]
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ (x >> 32)
}

/// A stream of random numbers (splitmix64's counter behind [`mix`]).
pub(crate) struct Rng(u64);

impl Rng {
    /// The stream of this seed and these numbers; different numbers give different streams.
    pub(crate) fn new(seed: u64, stream: &[u64]) -> Rng {
        let start = |state, &number| mix(state ^ mix(number + 1));
        Rng(stream.iter().fold(mix(seed ^ 0x5eed), start))
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from 0 to `n - 1`; 0 if `n` is 0.
    #[inline]
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// A number from `from` to `to`, both included.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from) + 1)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy, const N: usize>(&mut self, from: [T; N]) -> T {
        from[self.below(N as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_its_seed_and_its_numbers() {
        let first = |seed, stream: &[u64]| Rng::new(seed, stream).next();
        assert_eq!(first(1, &[2, 3]), first(1, &[2, 3]));
        assert_ne!(first(1, &[2, 3]), first(1, &[3, 2]));
        assert_ne!(first(1, &[2, 3]), first(2, &[2, 3]));
        assert_ne!(first(0, &[]), first(0, &[0]));
    }

    #[test]
    fn every_number_of_a_range_is_drawn_and_no_other() {
        let mut rng = Rng::new(7, &[]);
        let mut seen = [0; 7];
        for _ in 0..1_000 {
            seen[rng.between(2, 4) as usize] += 1;
        }
        assert!(seen[2] > 200 && seen[3] > 200 && seen[4] > 200);
        assert_eq!(seen.iter().sum::<i32>(), seen[2] + seen[3] + seen[4]);
    }
}
