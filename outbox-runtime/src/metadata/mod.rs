//! Metadata: the payload of an event, typed in the program and JSON in the row.

mod decode_error; // the error of a row that cannot be decoded
mod field_names; // the field names of a struct
mod finite; // rejection of NaN and infinity
mod meaning; // comparison of JSON by meaning
mod raw; // the stored bytes
mod upcast; // conversion of older versions
mod value; // the bound of generic metadata

pub use self::decode_error::DecodeError;
pub(crate) use self::decode_error::{Sight, reason};
pub use self::finite::Finite;
pub(crate) use self::finite::without_values;
pub(crate) use self::meaning::{meaning, means_the_same};
pub use self::raw::RawMetadata;
pub use self::upcast::{OlderMetadata, ReadVersion, UpcastTo};
pub use self::value::MetadataValue;
