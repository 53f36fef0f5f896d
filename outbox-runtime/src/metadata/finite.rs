//! Rejection of floats that JSON cannot represent: NaN and infinity.
//!
//! `serde_json` writes such a float as `null`, which is read back as an error, or as `None` if the
//! field is an `Option`. [`Finite`] wraps a serializer and rejects such floats wherever they occur:
//! in a field, a list, a map, an enum or a flattened struct. The path is collected while the error
//! propagates, so that a valid value costs only one comparison per float.

use std::cell::RefCell;
use std::fmt::{Display, Write as _};

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// The rejected float and its path, innermost step first.
#[derive(Debug)]
struct Fault {
    what: &'static str,
    path: Vec<Step>,
}

/// A step of a path.
#[derive(Debug)]
enum Step {
    Field(&'static str),
    Index(usize),
    Key(String),
}

/// The fault of a serialization, recorded once.
#[derive(Debug, Default)]
pub(crate) struct Faults(RefCell<Option<Fault>>);

impl Faults {
    fn refuse<E: serde::ser::Error>(&self, float: f64) -> E {
        let what = if float.is_nan() {
            "NaN"
        } else if float > 0.0 {
            "infinity"
        } else {
            "-infinity"
        };
        *self.0.borrow_mut() = Some(Fault {
            what,
            path: Vec::new(),
        });
        E::custom(what)
    }

    /// Adds a step to the path if the propagating error is that of a float.
    fn step(&self, step: impl FnOnce() -> Step) {
        if let Some(fault) = &mut *self.0.borrow_mut() {
            fault.path.push(step());
        }
    }

    /// The error to report: the recorded fault, if there is one, instead of `error`.
    pub(crate) fn into_error(self, error: serde_json::Error) -> serde_json::Error {
        let Some(fault) = self.0.into_inner() else {
            return error;
        };
        serde_json::Error::custom(float_message(&fault.path(), fault.what))
    }
}

/// The message about a float.
fn float_message(path: &str, what: &str) -> String {
    let (quote, named) = match path {
        "" => ("", "the value"),
        path => ("`", path),
    };
    format!(
        "{quote}{named}{quote} is {what}, which JSON cannot represent; make the field an `Option` that is `None`, or omit it"
    )
}

/// The error without possible values: a key of a map, or the text of an application's `Serialize`
/// implementation.
pub(crate) fn without_values(error: &serde_json::Error) -> serde_json::Error {
    let text = error.to_string();
    let float = ["NaN", "infinity", "-infinity"]
        .into_iter()
        .find_map(|what| {
            let (subject, _) = text.split_once(&format!(" is {what}, "))?;
            let path = subject
                .strip_prefix('`')
                .and_then(|path| path.strip_suffix('`'));
            // From the first bracket on, an index cannot be told from a key.
            let path = path.map(|path| match path.find('[') {
                Some(at) => format!("{}[*]", path.get(..at).unwrap_or_default()),
                None => path.to_owned(),
            });
            let message = float_message(path.as_deref().unwrap_or_default(), what);
            let is_ours = text
                == float_message(
                    path.as_ref().map_or("", |_| subject.trim_matches('`')),
                    what,
                );
            is_ours.then_some(message)
        });
    serde_json::Error::custom(float.unwrap_or_else(|| {
        "a value cannot be serialized; the details are omitted because the entity has sensitive fields".to_owned()
    }))
}

impl Fault {
    /// The path in Rust notation: `samples[3].rate`, `by_day["2026-11-01"]`.
    fn path(&self) -> String {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            let written = match step {
                Step::Field(name) if path.is_empty() => write!(path, "{name}"),
                Step::Field(name) => write!(path, ".{name}"),
                Step::Index(index) => write!(path, "[{index}]"),
                Step::Key(key) => write!(path, "[{key}]"),
            };
            // Writing to a `String` cannot fail.
            debug_assert!(written.is_ok());
        }
        path
    }
}

/// A serializer that wraps another one.
#[derive(Debug)]
pub struct Finite<'f, S> {
    inner: S,
    faults: &'f Faults,
    /// For a list: the current index.
    index: usize,
    /// For a map whose keys and values are serialized separately: the last key.
    key: Option<String>,
    /// For a variant: its name.
    variant: Option<&'static str>,
}

impl<'f, S> Finite<'f, S> {
    pub(crate) fn new(inner: S, faults: &'f Faults) -> Self {
        Self {
            inner,
            faults,
            index: 0,
            key: None,
            variant: None,
        }
    }

    fn failed(&self, step: impl FnOnce() -> Step) {
        self.faults.step(step);
        if let Some(variant) = self.variant {
            self.faults.step(|| Step::Field(variant));
        }
    }
}

/// Serializes the inner value through [`Finite`], whatever the serializer.
struct Value<'v, T: ?Sized>(&'v T, &'v Faults);

impl<T: Serialize + ?Sized> Serialize for Value<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Finite::new(serializer, self.1))
    }
}

/// The key as JSON, for a message.
fn key_text<T: Serialize + ?Sized>(key: &T) -> String {
    serde_json::to_string(key).unwrap_or_else(|_| "?".to_owned())
}

macro_rules! pass_on {
    ($($name:ident: $type:ty),* $(,)?) => {$(
        fn $name(self, value: $type) -> Result<S::Ok, S::Error> {
            self.inner.$name(value)
        }
    )*};
}

impl<'f, S: Serializer> Serializer for Finite<'f, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Finite<'f, S::SerializeSeq>;
    type SerializeTuple = Finite<'f, S::SerializeTuple>;
    type SerializeTupleStruct = Finite<'f, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Finite<'f, S::SerializeTupleVariant>;
    type SerializeMap = Finite<'f, S::SerializeMap>;
    type SerializeStruct = Finite<'f, S::SerializeStruct>;
    type SerializeStructVariant = Finite<'f, S::SerializeStructVariant>;

    pass_on! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_unit_struct: &'static str,
    }

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        if !value.is_finite() {
            return Err(self.faults.refuse(value.into()));
        }
        self.inner.serialize_f32(value)
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        if !value.is_finite() {
            return Err(self.faults.refuse(value));
        }
        self.inner.serialize_f64(value)
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_some(&Value(value, self.faults))
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.inner
            .serialize_newtype_struct(name, &Value(value, self.faults))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let faults = self.faults;
        self.inner
            .serialize_newtype_variant(name, index, variant, &Value(value, faults))
            .inspect_err(|_| faults.step(|| Step::Field(variant)))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        let inner = self.inner.serialize_seq(len)?;
        Ok(Finite::new(inner, self.faults))
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        let inner = self.inner.serialize_tuple(len)?;
        Ok(Finite::new(inner, self.faults))
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        let inner = self.inner.serialize_tuple_struct(name, len)?;
        Ok(Finite::new(inner, self.faults))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        let inner = self
            .inner
            .serialize_tuple_variant(name, index, variant, len)?;
        Ok(Finite {
            variant: Some(variant),
            ..Finite::new(inner, self.faults)
        })
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        let inner = self.inner.serialize_map(len)?;
        Ok(Finite::new(inner, self.faults))
    }

    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        let inner = self.inner.serialize_struct(name, len)?;
        Ok(Finite::new(inner, self.faults))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        let inner = self
            .inner
            .serialize_struct_variant(name, index, variant, len)?;
        Ok(Finite {
            variant: Some(variant),
            ..Finite::new(inner, self.faults)
        })
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! by_index {
    ($($trait:ident, $method:ident);* $(;)?) => {$(
        impl<S: $trait> $trait for Finite<'_, S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                let written = self.inner.$method(&Value(value, self.faults));
                let index = self.index;
                self.index += 1;
                written.inspect_err(|_| self.failed(|| Step::Index(index)))
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        }
    )*};
}

by_index! {
    SerializeSeq, serialize_element;
    SerializeTuple, serialize_element;
    SerializeTupleStruct, serialize_field;
    SerializeTupleVariant, serialize_field;
}

macro_rules! by_name {
    ($($trait:ident),*) => {$(
        impl<S: $trait> $trait for Finite<'_, S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), S::Error> {
                self.inner
                    .serialize_field(name, &Value(value, self.faults))
                    .inspect_err(|_| self.failed(|| Step::Field(name)))
            }

            fn skip_field(&mut self, name: &'static str) -> Result<(), S::Error> {
                self.inner.skip_field(name)
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        }
    )*};
}

by_name!(SerializeStruct, SerializeStructVariant);

impl<S: SerializeMap> SerializeMap for Finite<'_, S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.key = Some(key_text(key));
        self.inner.serialize_key(&Value(key, self.faults))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        let key = self.key.take();
        self.inner
            .serialize_value(&Value(value, self.faults))
            .inspect_err(|_| self.failed(|| Step::Key(key.unwrap_or_default())))
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), S::Error> {
        self.inner
            .serialize_entry(&Value(key, self.faults), &Value(value, self.faults))
            .inspect_err(|_| self.failed(|| Step::Key(key_text(key))))
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.inner.end()
    }
}
