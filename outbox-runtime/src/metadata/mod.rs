//! Metadata: what an event carries, typed in the program and JSON in the row.

mod decode_error; // why a row cannot be read as its type
mod field_names; // what the fields of a type are called
mod finite; // refusing what JSON cannot say
mod meaning; // what JSON says, however it is written
mod raw; // the JSON, byte for byte
mod upcast; // from an older version's type to the newest
mod value; // what a generic entity may have for metadata

pub use self::decode_error::DecodeError;
pub(crate) use self::decode_error::{Sight, reason};
pub use self::finite::Finite;
pub(crate) use self::finite::without_values;
pub(crate) use self::meaning::{meaning, means_the_same};
pub use self::raw::RawMetadata;
pub use self::upcast::{OlderMetadata, ReadVersion, UpcastTo};
pub use self::value::MetadataValue;
