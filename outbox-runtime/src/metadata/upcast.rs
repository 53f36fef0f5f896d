//! Versions of metadata: how rows that older programs wrote become what this program works with.

use serde::de::DeserializeOwned;

/// What is done with the type of an older version: reading a row as it, or looking at its shape.
///
/// [`OutboxEntity::upcast`](crate::OutboxEntity::upcast) names the type that belongs to a version number and leaves the
/// rest to this. Its callers are the library's; there is no need to implement it.
pub trait ReadVersion<M> {
    /// What comes of it.
    type Output;

    /// Works with `T`, the type of the version's metadata.
    fn through<T: OlderMetadata + UpcastTo<M>>(self) -> Self::Output;
}

/// The metadata of an older version: every type that serde reads and that borrows nothing.
#[diagnostic::on_unimplemented(
    message = "rows of an older version cannot be read as `{Self}`",
    label = "`upcast(..)` names this type, which is not read from JSON",
    note = "derive `serde::Deserialize` for it"
)]
pub trait OlderMetadata: DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> OlderMetadata for T {}

/// The metadata of an older version, of which the newest, `M`, can be made: implement `From<Older> for M`.
#[diagnostic::on_unimplemented(
    message = "`{M}` cannot be made of `{Self}`",
    label = "`upcast(..)` names this type, of which the newest version is made",
    note = "say how: `impl From<{Self}> for {M} {{ .. }}`"
)]
pub trait UpcastTo<M> {
    /// The newest version of the same metadata.
    fn upcast(self) -> M;
}

#[diagnostic::do_not_recommend]
impl<T, M: From<T>> UpcastTo<M> for T {
    fn upcast(self) -> M {
        M::from(self)
    }
}
