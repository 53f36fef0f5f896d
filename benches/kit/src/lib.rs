//! What the benchmarks of all stores share.

pub mod contestant; // builds and runs the programs of other queues
pub mod report; // table, targets, JSON
pub mod rounds; // alternating rounds
