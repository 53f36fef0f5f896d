//! Models of what the stores do, and promises that hold in every state they can reach.
//!
//! A test runs one interleaving, a torture test some; a model checker visits all of them, up to the
//! size of the model. Each model has controls: variants with one fault, each of which must be
//! found. A model is not the store. The tables of [`postgres`] and [`sqlite`] name, for each step,
//! the statement or function that it stands for, and a change of one is a change of the other.
//!
//! The checker is `stateright`: it runs in a test, a model is ordinary Rust, and a counterexample
//! is a list of steps. It brings a small web server along, for looking at models, which nothing
//! here starts.

pub mod check;
pub mod postgres;
pub mod set;
pub mod sqlite;
