//! What a sink for the connections of a driver promises, as tests for any driver.

#[doc(hidden)]
pub mod cases; // the cases, one function per promise
mod driver; // a driver under test
mod suite; // the macro that lists them

pub use self::driver::{SinkTransaction, SinkUnderTest};
#[doc(hidden)]
pub use self::suite::run_sink_case;
