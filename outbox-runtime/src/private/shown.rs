//! A metadata struct without sensitive fields as a tuple of its fields, with `Clone` and `Debug`.

use std::fmt::{self, Debug};
use std::marker::PhantomData;

use serde::{Deserializer, Serializer};

use super::fields::{
    Fields0, Fields1, Fields2, Fields3, Fields4, Fields5, Fields6, Fields7, Fields8, Fields9,
    Fields10, Fields11, Fields12, Fields13, Fields14, Fields15, Fields16, MetadataField,
};
use crate::metadata::RawMetadata;

/// Marks the fields of a `Shown` trait as those of a `Fields` trait.
#[derive(Debug)]
pub struct Shown<Own>(PhantomData<Own>);

/// Defines, for each number of fields, the trait of a metadata struct whose fields may all be
/// shown. The bounds let the struct's `Clone` and `Debug` be one call each, which the compiler
/// checks in half the time of a call for each field.
macro_rules! shown {
    ($($name:ident($count:literal) of $bound:tt + $clone:tt + $debug:tt, as $fields:ident:
        $($field:ident $at:tt),*;)*) => {$(
        /// A metadata struct with this number of fields, none of them sensitive. For `Own` see the
        /// `Fields` traits.
        #[allow(unused_variables, clippy::unused_unit, reason = "there may be no fields")]
        pub trait $name<Own>: Sized {
            $(
                /// The type of the field at this position.
                type $field: $bound + $clone + $debug;
            )*

            /// The JSON names of the fields, in order.
            const NAMES: &'static [&'static str; $count];

            /// Builds the struct from its fields.
            fn from_fields(fields: ($(Self::$field,)*)) -> Self;

            /// Borrows the fields.
            fn as_fields(&self) -> ($(&Self::$field,)*);

            /// Clones the struct.
            fn copy(&self) -> Self {
                let fields = self.as_fields();
                Self::from_fields(($(<Self::$field as Clone>::clone(fields.$at),)*))
            }

            /// Formats the struct under the name that the user knows.
            fn show(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let fields = self.as_fields();
                f.debug_struct(name)$(.field(Self::NAMES[$at], fields.$at))*.finish()
            }

            /// Serializes the struct.
            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                <Self as $fields<Shown<Own>>>::write(self, serializer)
            }

            /// Serializes borrowed fields as JSON.
            fn json(fields: ($(&Self::$field,)*)) -> Result<RawMetadata, serde_json::Error> {
                <Self as $fields<Shown<Own>>>::json(fields)
            }

            /// Deserializes the struct.
            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <Self as $fields<Shown<Own>>>::read(deserializer)
            }
        }

        impl<Own, T: $name<Own>> $fields<Shown<Own>> for T {
            $(type $field = T::$field;)*

            const NAMES: &'static [&'static str; $count] = T::NAMES;

            fn from_fields(fields: ($(T::$field,)*)) -> T {
                <T as $name<Own>>::from_fields(fields)
            }

            fn as_fields(&self) -> ($(&T::$field,)*) {
                <T as $name<Own>>::as_fields(self)
            }
        }
    )*};
}

shown! {
    Shown0(0) of MetadataField + Clone + Debug, as Fields0: ;
    Shown1(1) of MetadataField + Clone + Debug, as Fields1: F0 0;
    Shown2(2) of MetadataField + Clone + Debug, as Fields2: F0 0, F1 1;
    Shown3(3) of MetadataField + Clone + Debug, as Fields3: F0 0, F1 1, F2 2;
    Shown4(4) of MetadataField + Clone + Debug, as Fields4: F0 0, F1 1, F2 2, F3 3;
    Shown5(5) of MetadataField + Clone + Debug, as Fields5: F0 0, F1 1, F2 2, F3 3, F4 4;
    Shown6(6) of MetadataField + Clone + Debug, as Fields6: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5;
    Shown7(7) of MetadataField + Clone + Debug, as Fields7: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6;
    Shown8(8) of MetadataField + Clone + Debug, as Fields8: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7;
    Shown9(9) of MetadataField + Clone + Debug, as Fields9: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7, F8 8;
    Shown10(10) of MetadataField + Clone + Debug, as Fields10: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7, F8 8, F9 9;
    Shown11(11) of MetadataField + Clone + Debug, as Fields11: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7, F8 8, F9 9, F10 10;
    Shown12(12) of MetadataField + Clone + Debug, as Fields12: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7, F8 8, F9 9, F10 10, F11 11;
    Shown13(13) of MetadataField + Clone + Debug, as Fields13: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7, F8 8, F9 9, F10 10, F11 11, F12 12;
    Shown14(14) of MetadataField + Clone + Debug, as Fields14: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7, F8 8, F9 9, F10 10, F11 11, F12 12, F13 13;
    Shown15(15) of MetadataField + Clone + Debug, as Fields15: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7, F8 8, F9 9, F10 10, F11 11, F12 12, F13 13, F14 14;
    Shown16(16) of MetadataField + Clone + Debug, as Fields16: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7, F8 8, F9 9, F10 10, F11 11, F12 12, F13 13, F14 14, F15 15;
}
