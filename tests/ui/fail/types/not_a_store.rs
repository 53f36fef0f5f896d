//! A processor owns a handle on its store.

use outbox_runtime::prelude::*;

fn main() {
    let store = MemoryStore::new();
    let _ = Processor::builder(&store);
}
