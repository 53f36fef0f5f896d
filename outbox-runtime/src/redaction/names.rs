//! Names in JSON that are values: the keys of maps and the variants of enums.
//!
//! JSON does not distinguish a map from a struct, whose keys are field names. Serialization does.

use std::cell::RefCell;
use std::fmt::{self, Display};

use serde::ser::{self, Serialize, Serializer};
use serde_json::Value;

/// A name that is a value.
pub(super) enum Name {
    /// The key of a map, in its JSON form.
    Key(Value),
    Variant(&'static str),
}

/// Every map key and every variant within a value, except in the fields of the outermost object
/// listed in `shown`.
pub(super) fn of<T: Serialize + ?Sized>(value: &T, shown: &[&str]) -> Vec<Name> {
    let names = RefCell::new(Vec::new());
    // If the value cannot be serialized, the whole text is hidden, whatever was found.
    let _ = value.serialize(Collector {
        names: &names,
        shown: Some(shown),
        is_shown: false,
    });
    names.into_inner()
}

/// A serializer that collects names and writes nothing.
#[derive(Clone, Copy)]
struct Collector<'c> {
    names: &'c RefCell<Vec<Name>>,
    /// Set only at the outermost level.
    shown: Option<&'c [&'c str]>,
    /// The next value belongs to a key that is shown.
    is_shown: bool,
}

impl Collector<'_> {
    fn found(&self, name: Name) {
        self.names.borrow_mut().push(name);
    }

    fn within<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Unserializable> {
        let inner = Collector {
            shown: None,
            is_shown: false,
            ..*self
        };
        value.serialize(inner)
    }

    fn field<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), Unserializable> {
        let is_shown = self.shown.is_some_and(|shown| shown.contains(&name));
        if is_shown { Ok(()) } else { self.within(value) }
    }
}

/// The value cannot be serialized as JSON.
#[derive(Debug)]
struct Unserializable;

impl Display for Unserializable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value cannot be serialized")
    }
}

impl std::error::Error for Unserializable {}

impl ser::Error for Unserializable {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

macro_rules! ignore_values {
    ($($method:ident: $type:ty),* $(,)?) => {$(
        fn $method(self, _: $type) -> Result<(), Unserializable> {
            Ok(())
        }
    )*};
}

impl Serializer for Collector<'_> {
    type Ok = ();
    type Error = Unserializable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    ignore_values! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128, serialize_f32: f32,
        serialize_f64: f64, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8], serialize_unit_struct: &'static str,
    }

    fn serialize_none(self) -> Result<(), Unserializable> {
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Unserializable> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unserializable> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unserializable> {
        value.serialize(self)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Unserializable> {
        self.found(Name::Variant(variant));
        Ok(())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unserializable> {
        self.found(Name::Variant(variant));
        self.within(value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unserializable> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unserializable> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unserializable> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, Unserializable> {
        self.found(Name::Variant(variant));
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unserializable> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unserializable> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, Unserializable> {
        self.found(Name::Variant(variant));
        Ok(Self {
            shown: None,
            ..self
        })
    }
}

macro_rules! visit_elements {
    ($($trait:ident::$method:ident),*) => {$(
        impl ser::$trait for Collector<'_> {
            type Ok = ();
            type Error = Unserializable;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unserializable> {
                self.within(value)
            }

            fn end(self) -> Result<(), Unserializable> {
                Ok(())
            }
        }
    )*};
}

visit_elements!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! visit_fields {
    ($($trait:ident),*) => {$(
        impl ser::$trait for Collector<'_> {
            type Ok = ();
            type Error = Unserializable;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Unserializable> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), Unserializable> {
                Ok(())
            }
        }
    )*};
}

visit_fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Collector<'_> {
    type Ok = ();
    type Error = Unserializable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unserializable> {
        let written = serde_json::to_value(key).map_err(|_| Unserializable)?;
        // A struct with a flattened field is serialized as a map, too.
        let is_shown = |key: &str| self.shown.is_some_and(|shown| shown.contains(&key));
        self.is_shown = written.as_str().is_some_and(is_shown);
        if !self.is_shown {
            self.found(Name::Key(written));
            self.within(key)?;
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unserializable> {
        if self.is_shown {
            Ok(())
        } else {
            self.within(value)
        }
    }

    fn end(self) -> Result<(), Unserializable> {
        Ok(())
    }
}

/// The usual spellings of a variant's name: `very_sad`, `VerySad`, `verySad`, `VERY_SAD`,
/// `very-sad`, `very sad`.
pub(super) fn spellings(variant: &str) -> Vec<String> {
    let words = words(variant);
    let lower = |word: &String| word.to_lowercase();
    let capital = |word: &String| {
        let mut letters = word.chars();
        let first = letters.next().into_iter().flat_map(char::to_uppercase);
        first
            .chain(letters.as_str().to_lowercase().chars())
            .collect::<String>()
    };
    let pascal: Vec<String> = words.iter().map(capital).collect();
    let small: Vec<String> = words.iter().map(lower).collect();
    let mut camel = pascal.clone();
    if let (Some(first), Some(small)) = (camel.first_mut(), small.first()) {
        first.clone_from(small);
    }
    let snake = small.join("_");
    vec![
        variant.to_owned(),
        pascal.concat(),
        camel.concat(),
        small.concat(),
        snake.to_uppercase(),
        small.join("-"),
        small.join(" "),
        pascal.join(" "),
        snake,
    ]
}

fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut is_new = true;
    let mut was_small = false;
    for c in name.chars() {
        if !c.is_alphanumeric() {
            is_new = true;
            continue;
        }
        is_new |= was_small && c.is_uppercase();
        was_small = !c.is_uppercase();
        match words.last_mut() {
            Some(word) if !is_new => word.push(c),
            _ => words.push(c.to_string()),
        }
        is_new = false;
    }
    words
}
