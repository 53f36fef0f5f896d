//! The parts that the command `outbox` and the web console share, so that both show the same and
//! change the same.
//!
//! Everything works through the traits of [`outbox_runtime`]. The interface follows the two tools
//! and is not covered by semantic versioning.
#![forbid(unsafe_code)]

mod clean; // foreign text
mod cleanup; // completed events
mod deed; // retry, discard
mod doctor; // findings
mod edit; // waiting events
mod error; // the error in a listing
mod newest; // the newest events
mod pages; // listings page by page
mod payload; // metadata, without sensitive values
mod time; // durations and ages

pub use self::clean::{clean, cut};
pub use self::cleanup::count_completed;
pub use self::deed::{Deed, WrongState, reason_or_state};
pub use self::doctor::{Mended, Outbox, Runs, command_of, examine, explain, held, mend, unhandled};
pub use self::edit::{Edit, NotEdited};
pub use self::error::open_error;
pub use self::newest::{Newest, newest};
pub use self::pages::{PAGE, Pages, key_of, key_text};
pub use self::payload::{Hidden, shown};
pub use self::time::{Moment, age, duration, stamp};
