//! TLS by rustls.

use tokio_postgres_rustls::MakeRustlsConnect;

pub use ::rustls;

/// A connector for [`PostgresStoreBuilder::tls`](crate::PostgresStoreBuilder::tls) with these
/// settings. The application chooses the cryptography and the trusted certificates.
///
/// # Examples
///
/// ```no_run
/// use outbox_postgres::{PostgresStore, tls};
///
/// # async fn open(settings: tls::rustls::ClientConfig) -> Result<(), outbox_runtime::StoreError> {
/// let store = PostgresStore::builder()
///     .tls(tls::rustls(settings))
///     .connect("postgres://app@db.example.org/shop?sslmode=require")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn rustls(settings: rustls::ClientConfig) -> MakeRustlsConnect {
    MakeRustlsConnect::new(settings)
}
