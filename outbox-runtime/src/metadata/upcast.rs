//! Versions of metadata, and the conversion of older ones.

use serde::de::DeserializeOwned;

/// An operation on the type of an older version: decoding a row as it, or inspecting its shape.
///
/// [`OutboxEntity::upcast`](crate::OutboxEntity::upcast) maps a version number to its type and
/// passes the type here. The library implements and calls this trait; applications do not implement
/// it.
pub trait ReadVersion<M> {
    /// The result of the operation.
    type Output;

    /// Operates on `T`, the metadata type of the version.
    fn through<T: OlderMetadata + UpcastTo<M>>(self) -> Self::Output;
}

/// The metadata type of an older version: any type that serde deserializes without borrowing.
#[diagnostic::on_unimplemented(
    message = "rows of an older version cannot be read as `{Self}`",
    label = "`upcast(..)` names this type, which serde cannot deserialize",
    note = "derive `serde::Deserialize` for it"
)]
pub trait OlderMetadata: DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> OlderMetadata for T {}

/// Conversion of an older version's metadata into the newest, `M`: implement `From<Older> for M`.
#[diagnostic::on_unimplemented(
    message = "`{M}` cannot be created from `{Self}`",
    label = "`upcast(..)` names this type, which must convert to the newest version",
    note = "write the conversion: `impl From<{Self}> for {M} {{ .. }}`"
)]
pub trait UpcastTo<M> {
    /// Converts to the newest version.
    fn upcast(self) -> M;
}

#[diagnostic::do_not_recommend]
impl<T, M: From<T>> UpcastTo<M> for T {
    fn upcast(self) -> M {
        M::from(self)
    }
}
