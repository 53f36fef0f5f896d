//! Generated code names nothing that is not spelt out from the root.
#![no_implicit_prelude]
#![deny(warnings)]
#![forbid(unsafe_code)]
#![allow(dead_code)]

#[derive(::core::fmt::Debug, ::outbox_runtime::DeliveryError)]
enum SyncError {
    #[outbox(offline)]
    NoConnection,
    #[outbox(unauthenticated)]
    TokenExpired {},
    #[outbox(rate_limited(after = wait))]
    Throttled { wait: ::core::time::Duration },
    #[outbox(retry)]
    Server(u16),
    #[outbox(retry(after = 0,))]
    Busy(::core::option::Option<::core::time::Duration>),
    #[outbox(unavailable)]
    Down,
    #[outbox(unavailable(after = 0, scope = "user",))]
    Away(::core::option::Option<::core::time::Duration>),
    #[outbox(offline(destination = host))]
    NoRoute { host: ::std::string::String },
    #[outbox(permanent)]
    Rejected(::std::string::String),
    #[outbox(obsolete)]
    Gone,
    #[outbox(snooze(after = 1))]
    Later(u8, ::core::time::Duration),
    #[outbox(transparent)]
    Login(LoginError),
}

#[derive(::core::fmt::Debug, ::outbox_runtime::DeliveryError)]
#[outbox(unauthenticated)]
struct LoginError;

#[derive(::core::fmt::Debug, ::outbox_runtime::DeliveryError)]
enum Never {}

macro_rules! error {
    ($name:ident) => {
        impl ::core::fmt::Display for $name {
            fn fmt(&self, _: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::result::Result::Ok(())
            }
        }

        impl ::core::error::Error for $name {}
    };
}

error!(SyncError);
error!(LoginError);
error!(Never);

fn main() {}
