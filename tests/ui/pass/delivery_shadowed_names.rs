//! Types of the user's with the names of everything that generated code uses.
#![allow(dead_code, non_upper_case_globals)]

use ::std::time::Duration as Span;

struct Result;
struct Option;
struct None;
struct Some;
struct Delivery;
struct Scope;
struct String;
struct DeliveryError;
struct HandlerError;
struct Duration;
struct Send;
struct Sync;
mod core {}
mod std {}
mod outbox_runtime {}
const after: u8 = 0;
const field: u8 = 0;
const wait: u8 = 0;

#[derive(Debug, ::outbox_runtime::DeliveryError)]
enum Error {
    #[outbox(retry)]
    Retry,
    #[outbox(retry(after = 0))]
    RetryAfter(Span),
    #[outbox(rate_limited(after = wait))]
    Throttled { wait: Span },
    #[outbox(rate_limited(after = wait, scope = "user"))]
    Quota { wait: Span },
    #[outbox(unavailable(destination = destination))]
    Down { destination: &'static str },
    #[outbox(transparent)]
    Other { field: Other },
}

#[derive(Debug, ::outbox_runtime::DeliveryError)]
#[outbox(permanent)]
struct Other;

impl ::std::fmt::Display for Error {
    fn fmt(&self, _: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        Ok(())
    }
}

impl ::std::error::Error for Error {}

impl ::std::fmt::Display for Other {
    fn fmt(&self, _: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        Ok(())
    }
}

impl ::std::error::Error for Other {}

fn main() {}
