//! Random numbers from a seed: uids, generated names, and the dice of random faults.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// A sequence of numbers that a seed decides (SplitMix64).
#[derive(Debug)]
pub(crate) struct Dice(AtomicU64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The alphabet of the real server: no vowels, so that no words arise.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

impl Dice {
    /// The sequence of a seed; without one, a sequence that differs every time.
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(AtomicU64::new(seed.unwrap_or_else(|| RandomState::new().hash_one("sandbox"))))
    }

    /// The next number.
    pub(crate) fn roll(&self) -> u64 {
        mix(self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP))
    }

    /// A uid in the form of a version 4 UUID.
    pub(crate) fn uid(&self) -> String {
        let (high, low) = (self.roll(), self.roll());
        let high = (high & !0xf000) | 0x4000;
        let low = (low & !(0b11 << 62)) | (0b10 << 62);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }

    /// The five characters that end a generated name.
    pub(crate) fn suffix(&self) -> String {
        let mut roll = self.roll();
        (0..5)
            .filter_map(|_| {
                let at = (roll % LETTERS.len() as u64) as usize;
                roll /= LETTERS.len() as u64;
                LETTERS.get(at).map(|letter| char::from(*letter))
            })
            .collect()
    }
}

/// Scrambles a number so that near ones end far apart.
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_sequence() {
        let (one, two) = (Dice::new(Some(7)), Dice::new(Some(7)));
        let uid = one.uid();
        assert_eq!(uid, two.uid());
        assert_ne!(uid, one.uid());
        assert_eq!(uid.len(), 36);
        assert_eq!(uid.as_bytes()[14], b'4');
        assert_eq!(one.suffix().len(), 5);
    }
}
