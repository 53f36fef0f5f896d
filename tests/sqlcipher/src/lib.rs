//! The store on an encrypted file; see the tests.
