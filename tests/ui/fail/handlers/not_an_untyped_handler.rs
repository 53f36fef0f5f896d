//! `handler` takes what handles events of any type; the handler of a set goes through `handled_by`.

use outbox_runtime::prelude::*;

struct Relay;

fn main() {
    let _ = Processor::builder(MemoryStore::new()).handler(Relay);
}
