//! A deserializer without data that observes the requests of a type, one place at a time.
//!
//! `Deserialize` tells a deserializer what comes next ("a struct with these fields", "a string")
//! before it sees any data. A [`run`] leads the type along a path to the place of interest, records
//! its request there, and gives an answer to find out whether the type accepts it. On the way back
//! the type usually refuses its incomplete value, because only the path exists; that does not
//! matter, since each place has its own runs.

mod access; // access to the next step of the path

use std::any::type_name;
use std::cell::RefCell;

use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde_json::Value;

use self::access::{Elements, Entries, Entry, Variant, no_variant};
use super::probe::Leaf;

/// Reads a type from a tracer and drops it.
pub(super) type Read = fn(Tracer<'_>) -> Result<(), Refusal>;

/// The reader of `T`.
pub(super) fn read<T: DeserializeOwned>(tracer: Tracer<'_>) -> Result<(), Refusal> {
    T::deserialize(tracer).map(drop)
}

/// A step from a value to an inner value.
#[derive(Debug)]
pub(super) enum Step {
    /// The content of an `Option`.
    Some,
    /// The element of a list or tuple after these elements.
    Element { before: Vec<Value> },
    /// A key of a map.
    Key,
    /// The value of a key. It comes first, so no other field interferes.
    Value { key: Value },
    /// The content of a variant.
    Variant(&'static str),
}

/// The request of a type.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request {
    Leaf(Leaf),
    Option,
    List,
    Tuple(usize),
    Map,
    Object(&'static [&'static str]),
    Enum(&'static [&'static str]),
    UnitVariant,
    /// The same as the value this many steps further out.
    Recursion(usize),
}

/// The answer that the type is given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer<'a> {
    Nothing,
    Json(&'a Value),
    /// An object whose keys may repeat.
    Entries(&'a [(&'a str, &'a Value)]),
    /// An object with one key, whose value is not a variant's name.
    NoVariant(&'a str),
}

/// The reason that a value was refused, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("a field is missing")]
    MissingField(&'static str),
    #[error("a field is there twice")]
    DuplicateField(&'static str),
    /// With the valid variants.
    #[error("there is no such variant")]
    UnknownVariant(&'static [&'static str]),
    #[error("not taken")]
    Other,
}

impl serde::de::Error for Refusal {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self::Other
    }

    fn missing_field(field: &'static str) -> Self {
        Self::MissingField(field)
    }

    fn unknown_variant(_: &str, variants: &'static [&'static str]) -> Self {
        Self::UnknownVariant(variants)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::DuplicateField(field)
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(_: serde_json::Error) -> Self {
        Self::Other
    }
}

/// The observations of a run at its place.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// `None` if the type never reached the place.
    pub(super) request: Option<Request>,
    /// Whether it accepted the answer.
    pub(super) taken: Option<Result<(), Refusal>>,
    /// The types that made requests on the way, with the number of steps.
    requesters: Vec<(usize, Identity)>,
}

/// Distinguishes types to detect recursion. It never becomes part of a shape. Two visitors may
/// request one type.
type Identity = (&'static str, &'static str);

/// Leads a type along `path` and gives it `answer` there.
pub(super) fn run(read: Read, path: &[Step], answer: Answer<'_>) -> Observed {
    let run = Run {
        path,
        answer,
        seen: RefCell::default(),
    };
    let result = read(Tracer {
        run: &run,
        depth: 0,
    });
    let mut seen = run.seen.into_inner();
    if path.is_empty() {
        seen.taken = Some(result);
    }
    seen
}

struct Run<'a> {
    path: &'a [Step],
    answer: Answer<'a>,
    seen: RefCell<Observed>,
}

/// A place on the path of a run.
#[derive(Clone, Copy)]
pub(super) struct Tracer<'r> {
    run: &'r Run<'r>,
    depth: usize,
}

impl<'r> Tracer<'r> {
    /// The next step; `None` at the place of interest.
    fn step(self) -> Option<&'r Step> {
        self.run.path.get(self.depth)
    }

    fn note(self, request: Request) {
        self.run.seen.borrow_mut().request = Some(request);
    }

    /// Reads the value one step further in. Whether an answer is accepted is known only here,
    /// because a type may convert the result of its visitor (`#[serde(try_from = "String")]`).
    fn descend<R>(self, read: impl FnOnce(Self) -> Result<R, Refusal>) -> Result<R, Refusal> {
        let inner = Self {
            run: self.run,
            depth: self.depth + 1,
        };
        let result = read(inner);
        if inner.step().is_none() {
            let taken = result.as_ref().map(drop).map_err(|refusal| *refusal);
            self.run.seen.borrow_mut().taken = Some(taken);
        }
        result
    }

    /// A value without inner values.
    fn leaf<R>(
        self,
        leaf: Leaf,
        read: impl FnOnce(Value) -> Result<R, serde_json::Error>,
    ) -> Result<R, Refusal> {
        if self.step().is_some() {
            return Err(Refusal::Other);
        }
        self.note(Request::Leaf(leaf));
        match self.run.answer {
            Answer::Json(json) => Ok(read(json.clone())?),
            Answer::Nothing | Answer::Entries(_) | Answer::NoVariant(_) => Err(Refusal::Other),
        }
    }

    /// A value with inner values.
    fn compound<'de, V: Visitor<'de>>(
        self,
        request: Request,
        visitor: V,
        read: impl FnOnce(Value, V) -> Result<V::Value, serde_json::Error>,
    ) -> Result<V::Value, Refusal> {
        self.check_recursion::<V>()?;
        if let Some(step) = self.step() {
            return self.follow(step, visitor);
        }
        self.note(request);
        match self.run.answer {
            Answer::Nothing | Answer::NoVariant(_) => Err(Refusal::Other),
            Answer::Json(json) => Ok(read(json.clone(), visitor)?),
            Answer::Entries(entries) => visitor.visit_map(Entries(entries)),
        }
    }

    /// Records the requesting type, and ends the run if the same type has already requested further
    /// out.
    fn check_recursion<'de, V: Visitor<'de>>(self) -> Result<(), Refusal> {
        let identity = (type_name::<V>(), type_name::<V::Value>());
        let mut seen = self.run.seen.borrow_mut();
        let outer = seen
            .requesters
            .iter()
            .find(|(depth, requesters)| *depth < self.depth && *requesters == identity);
        if let Some((depth, _)) = outer {
            seen.request = Some(Request::Recursion(self.depth - depth));
            return Err(Refusal::Other);
        }
        seen.requesters.push((self.depth, identity));
        Ok(())
    }

    fn follow<'de, V: Visitor<'de>>(self, step: &'r Step, visitor: V) -> Result<V::Value, Refusal> {
        match step {
            Step::Some => self.descend(|inner| visitor.visit_some(inner)),
            Step::Element { before } => visitor.visit_seq(Elements {
                outer: self,
                before: before.iter(),
                is_done: false,
            }),
            Step::Key => visitor.visit_map(Entry {
                outer: self,
                key: None,
                is_done: false,
            }),
            Step::Value { key } => visitor.visit_map(Entry {
                outer: self,
                key: Some(key),
                is_done: false,
            }),
            Step::Variant(name) => visitor.visit_enum(Variant { outer: self, name }),
        }
    }
}

/// The requests for values without inner values: one method each, which a JSON value has as well.
macro_rules! leaves {
    ($($method:ident => $leaf:expr),+ $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            self.leaf($leaf, |json| json.$method(visitor))
        }
    )+};
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Refusal;

    leaves! {
        deserialize_bool => Leaf::Bool,
        deserialize_i8 => Leaf::Integer("i8"),
        deserialize_i16 => Leaf::Integer("i16"),
        deserialize_i32 => Leaf::Integer("i32"),
        deserialize_i64 => Leaf::Integer("i64"),
        deserialize_i128 => Leaf::Integer("i128"),
        deserialize_u8 => Leaf::Integer("u8"),
        deserialize_u16 => Leaf::Integer("u16"),
        deserialize_u32 => Leaf::Integer("u32"),
        deserialize_u64 => Leaf::Integer("u64"),
        deserialize_u128 => Leaf::Integer("u128"),
        deserialize_f32 => Leaf::Float("f32"),
        deserialize_f64 => Leaf::Float("f64"),
        deserialize_char => Leaf::Char,
        deserialize_str => Leaf::String,
        deserialize_string => Leaf::String,
        deserialize_identifier => Leaf::Identifier,
        deserialize_bytes => Leaf::Bytes,
        deserialize_byte_buf => Leaf::Bytes,
        deserialize_unit => Leaf::Null,
        deserialize_ignored_any => Leaf::Ignored,
    }

    /// Like JSON.
    fn is_human_readable(&self) -> bool {
        true
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match (self.step(), self.run.answer) {
            (None, Answer::Entries(entries)) => visitor.visit_map(Entries(entries)),
            (None, Answer::NoVariant(tag)) => visitor.visit_map(no_variant(tag)),
            _ => self.leaf(Leaf::Any, |json| json.deserialize_any(visitor)),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.leaf(Leaf::Null, |json| {
            json.deserialize_unit_struct(name, visitor)
        })
    }

    /// JSON writes nothing around the content of a newtype.
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        // serde_json requests the text of a `RawValue`, which may be anything, by this name.
        if name.starts_with("$serde_json::private::") {
            return self.leaf(Leaf::Any, |json| {
                json.deserialize_newtype_struct(name, visitor)
            });
        }
        self.check_recursion::<V>()?;
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.compound(Request::Option, visitor, |json, visitor| {
            json.deserialize_option(visitor)
        })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.compound(Request::List, visitor, |json, visitor| {
            json.deserialize_seq(visitor)
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.compound(Request::Tuple(len), visitor, |json, visitor| {
            json.deserialize_tuple(len, visitor)
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.compound(Request::Map, visitor, |json, visitor| {
            json.deserialize_map(visitor)
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.compound(Request::Object(fields), visitor, |json, visitor| {
            json.deserialize_struct(name, fields, visitor)
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.compound(Request::Enum(variants), visitor, |json, visitor| {
            json.deserialize_enum(name, variants, visitor)
        })
    }
}
