//! Without the feature `pace`, no destination has a pace: these types have no values.

use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub(in crate::processor) enum NoPace {}

impl NoPace {
    pub(super) fn fault(&self) -> Option<&'static str> {
        match *self {}
    }
}

pub(super) enum Bucket {}

impl Bucket {
    pub(super) fn new(pace: &NoPace, _: Duration) -> Option<Self> {
        match *pace {}
    }

    pub(super) fn look(&self, _: Duration) -> Result<usize, Duration> {
        match *self {}
    }

    pub(super) fn take(&self, _: Duration) -> bool {
        match *self {}
    }
}
