//! The pages of the guide whose code needs another database library than rusqlite, or a web server:
//! their blocks are compiled here, apart from the other pages, because a lock file holds one
//! libsqlite3-sys. `src/bin/service.rs` is the program of `docs/guide/axum.md`.

#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/axum.md")]
struct Axum;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/axum-tests.md")]
struct AxumTests;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/drivers.md")]
struct Drivers;
