//! The attributes of a variant of an event set: how its events are delivered together.

use std::time::Duration;

use syn::Attribute;

use super::level::Level;
use super::value::{self, Choice, Constant};
use super::{Keyed, each_key};
use crate::diag::Diagnostics;

/// The attributes of a variant.
#[derive(Default)]
pub(crate) struct VariantAttrs {
    pub(crate) batch: Option<Keyed<Constant<usize>>>,
    pub(crate) within: Option<Keyed<Constant<Duration>>>,
    pub(crate) batch_bytes: Option<Keyed<Constant<usize>>>,
    pub(crate) batch_order: Option<Keyed<Constant<Choice>>>,
}

impl VariantAttrs {
    /// Reads the attributes of a variant.
    pub(crate) fn read(attrs: &[Attribute], diag: &mut Diagnostics) -> Self {
        let mut read = Self::default();
        each_key(attrs, Level::Variant, diag, |key, input, diag| {
            match key.name.as_str() {
                // #[outbox(batch = 100)]
                "batch" => key.set(&mut read.batch, input, diag, value::batch),
                // #[outbox(within = "2s")]
                "within" => key.set(&mut read.within, input, diag, value::within),
                // #[outbox(batch_bytes = 65_536)]
                "batch_bytes" => key.set(&mut read.batch_bytes, input, diag, value::batch_bytes),
                // #[outbox(batch_order = "keep")]
                "batch_order" => key.set(&mut read.batch_order, input, diag, value::batch_order),
                _ => return false,
            }
            true
        });
        read
    }
}
