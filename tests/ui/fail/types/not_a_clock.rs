//! A store takes a clock by value.

use outbox_runtime::prelude::*;
use std::time::SystemTime;

fn main() {
    let _ = MemoryStore::with_clock(SystemTime::UNIX_EPOCH);
}
