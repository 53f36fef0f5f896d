//! FNV-1a: hashes that, unlike those of the standard library, are the same on every machine and in
//! every version.
//!
//! They detect accidental loss or change. They do not protect against deliberate collisions.

/// Defines a hasher of one width from its offset basis and its prime.
macro_rules! fnv1a {
    ($(#[$doc:meta])* $name:ident, $word:ty, $basis:literal, $prime:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name($word);

        impl $name {
            /// The hash of an empty input.
            #[must_use]
            pub const fn new() -> Self {
                Self($basis)
            }

            /// Continues from a hash.
            #[must_use]
            pub const fn after(hash: $word) -> Self {
                Self(hash)
            }

            /// Adds bytes.
            pub fn write(&mut self, bytes: &[u8]) {
                for byte in bytes {
                    self.0 = (self.0 ^ <$word>::from(*byte)).wrapping_mul($prime);
                }
            }

            /// The hash of all bytes added so far.
            #[must_use]
            pub const fn finish(self) -> $word {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

fnv1a!(
    /// The 64-bit hash.
    Fnv64,
    u64,
    0xcbf2_9ce4_8422_2325,
    0x0000_0100_0000_01b3
);
fnv1a!(
    /// The 128-bit hash.
    Fnv128,
    u128,
    0x6c62_272e_07bb_0142_62b8_2175_6295_c58d,
    0x0000_0000_0100_0000_0000_0000_0000_013b
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_match_the_reference_vectors() {
        let both = |text: &str| {
            let (mut short, mut long) = (Fnv64::new(), Fnv128::new());
            short.write(text.as_bytes());
            long.write(text.as_bytes());
            (short.finish(), long.finish())
        };
        let none = (
            0xcbf2_9ce4_8422_2325,
            0x6c62_272e_07bb_0142_62b8_2175_6295_c58d,
        );
        assert_eq!(both(""), none);
        let foobar = (
            0x8594_4171_f739_67e8,
            0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18,
        );
        assert_eq!(both("foobar"), foobar);
    }
}
