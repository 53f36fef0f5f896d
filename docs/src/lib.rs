// `cargo test --doc` takes no notice of `doctest = false`.
#![cfg_attr(not(doctest), doc = include_str!(concat!(env!("OUT_DIR"), "/README.md")))]
#![forbid(unsafe_code)]
#![allow(
    clippy::doc_markdown,
    reason = "the pages are prose, with names such as PowerSync"
)]

// A module for each page, in the order of SUMMARY.md: see build.rs.
include!(concat!(env!("OUT_DIR"), "/pages.rs"));
