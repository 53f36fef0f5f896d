//! The fuzz targets: for each, the function that takes any bytes and panics if a promise is broken.
//!
//! `fuzz/` runs them under libFuzzer; `tests/stores/fuzzed.rs` runs them on the corpus, along with
//! all other tests.

mod duration; // durations in attributes
mod filter; // dead-letter filters
mod http; // HTTP answers
mod input; // values from bytes
mod row; // arbitrary rows
mod wire; // the serde form of an event

pub use self::duration::duration;
pub use self::filter::filter;
pub use self::http::http;
pub use self::row::row;
pub use self::wire::wire;

/// A target.
pub type Target = fn(&[u8]);

/// Every target, by the name of its folder in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 5] = [
    ("duration", duration),
    ("filter", filter),
    ("http", http),
    ("row", row),
    ("wire", wire),
];
