//! A shape: what metadata looks like on the wire.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::difference::Difference;
use super::{explore, trace};

/// What a type looks like in JSON: the names of its fields as they are serialized, what may be absent, and the shapes of
/// what is inside. The names of Rust types are no part of it.
///
/// It is found by watching what the type's `Deserialize` asks for, so that no type needs a derive of ours. What is not
/// seen that way is listed in the [module's documentation](super#what-is-not-seen).
///
/// # Examples
///
/// ```
/// use outbox_testing::wire_lock::Shape;
/// use serde::Deserialize;
/// use uuid::Uuid;
///
/// #[derive(Deserialize)]
/// #[serde(rename_all = "camelCase")]
/// struct Mood {
///     entry_id: Uuid,
///     labels: Vec<String>,
///     note: Option<String>,
/// }
///
/// assert_eq!(
///     Shape::of::<Mood>().to_string(),
///     "{entryId: string(uuid), labels: [string], note: optional string}"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(Node);

impl Shape {
    /// The shape of a type that serde reads.
    #[must_use]
    pub fn of<T: DeserializeOwned>() -> Self {
        Self::with_unseen::<T>().0
    }

    /// The shape, and the paths of what could not be looked at.
    pub(super) fn with_unseen<T: DeserializeOwned>() -> (Self, Vec<String>) {
        let (node, unseen) = explore::shape_of(trace::read::<T>);
        (Self(node.collapsed()), unseen)
    }

    /// Everything in which `newer` differs, path by path. Empty where the two are the same.
    #[must_use]
    pub fn differences(&self, newer: &Self) -> Vec<Difference> {
        Difference::between(&self.0, &newer.0)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place of a shape, in the form of the lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "snake_case",
    expecting = "a shape is expected here, such as \"string\" or {\"list\": \"string\"}"
)]
pub(super) enum Node {
    /// May be `null`; as a field, may be absent as well.
    Optional(Box<Node>),
    /// A field that may be absent, but not `null`.
    Default(Box<Node>),
    /// A field that may be `null`, but not absent.
    Nullable(Box<Node>),
    List(Box<Node>),
    /// A list in which each element has its own shape.
    Tuple(Vec<Node>),
    Map {
        key: Box<Node>,
        value: Box<Node>,
    },
    Object(BTreeMap<String, Node>),
    /// An object that has more fields than it names.
    OpenObject(BTreeMap<String, Node>),
    /// Variants with their content: written as the name alone, or as an object with that one key.
    Enum(BTreeMap<String, Node>),
    /// Objects in which one field has the name of a variant, and the others are not seen.
    Tagged {
        tag: String,
        variants: BTreeMap<String, Node>,
    },
    /// The same as the place that is so many levels further out.
    Recursion(usize),
    /// Without anything inside: its name is all there is to compare.
    #[serde(untagged)]
    Leaf(String),
}

impl Node {
    pub(super) fn leaf(name: &str) -> Self {
        Self::Leaf(name.to_owned())
    }

    /// The same on the wire, with an `Option` of an `Option` as the one that it is there.
    pub(super) fn collapsed(self) -> Self {
        let each = |nodes: BTreeMap<String, Self>| {
            let nodes = nodes.into_iter();
            nodes.map(|(name, node)| (name, node.collapsed())).collect()
        };
        match self {
            Self::Optional(inner) => Self::Optional(inner.once()),
            Self::Nullable(inner) => Self::Nullable(inner.once()),
            Self::Default(inner) => Self::Default(Box::new(inner.collapsed())),
            Self::List(inner) => Self::List(Box::new(inner.collapsed())),
            Self::Tuple(nodes) => Self::Tuple(nodes.into_iter().map(Self::collapsed).collect()),
            Self::Map { key, value } => Self::Map {
                key: Box::new(key.collapsed()),
                value: Box::new(value.collapsed()),
            },
            Self::Object(fields) => Self::Object(each(fields)),
            Self::OpenObject(fields) => Self::OpenObject(each(fields)),
            Self::Enum(variants) => Self::Enum(each(variants)),
            Self::Tagged { tag, variants } => Self::Tagged {
                tag,
                variants: each(variants),
            },
            node @ (Self::Recursion(_) | Self::Leaf(_)) => node,
        }
    }

    /// What is within an `Option`, even if that is within another.
    fn once(self) -> Box<Self> {
        match self {
            Self::Optional(mut inner) => {
                inner.lower(0);
                inner.once()
            }
            node => Box::new(node.collapsed()),
        }
    }

    /// Counts a level less to what is more than `depth` levels further out.
    fn lower(&mut self, depth: usize) {
        match self {
            Self::Recursion(levels) if *levels > depth => *levels -= 1,
            Self::Recursion(_) | Self::Leaf(_) => {}
            // What may be absent is no level of its own.
            Self::Default(inner) => inner.lower(depth),
            Self::Optional(inner) | Self::Nullable(inner) | Self::List(inner) => {
                inner.lower(depth + 1);
            }
            Self::Tuple(nodes) => nodes.iter_mut().for_each(|node| node.lower(depth + 1)),
            Self::Map { key, value } => {
                key.lower(depth + 1);
                value.lower(depth + 1);
            }
            Self::Object(nodes)
            | Self::OpenObject(nodes)
            | Self::Enum(nodes)
            | Self::Tagged {
                variants: nodes, ..
            } => nodes.values_mut().for_each(|node| node.lower(depth + 1)),
        }
    }

    /// The shape as that of a field.
    pub(super) fn in_field(self, may_be_absent: bool) -> Self {
        match (self, may_be_absent) {
            (Self::Optional(inner), false) => Self::Nullable(inner),
            (node @ Self::Optional(_), true) | (node, false) => node,
            (node, true) => Self::Default(Box::new(node)),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf(name) => f.write_str(name),
            Self::Optional(inner) => write!(f, "optional {inner}"),
            Self::Default(inner) => write!(f, "{inner} with a default"),
            Self::Nullable(inner) => write!(f, "{inner} or null"),
            Self::List(inner) => write!(f, "[{inner}]"),
            Self::Map { key, value } => write!(f, "map of {key} to {value}"),
            Self::Tuple(nodes) => {
                let nodes: Vec<String> = nodes.iter().map(Self::to_string).collect();
                write!(f, "({})", nodes.join(", "))
            }
            Self::Object(fields) => write!(f, "{{{}}}", list(fields)),
            Self::OpenObject(fields) if fields.is_empty() => f.write_str("{..}"),
            Self::OpenObject(fields) => write!(f, "{{{}, ..}}", list(fields)),
            Self::Enum(variants) => write!(f, "enum {{{}}}", list(variants)),
            Self::Tagged { tag, variants } => {
                write!(f, "enum by {tag:?} {{{}}}", list(variants))
            }
            Self::Recursion(1) => f.write_str("the same as 1 level above"),
            Self::Recursion(levels) => write!(f, "the same as {levels} levels above"),
        }
    }
}

fn list(nodes: &BTreeMap<String, Node>) -> String {
    let nodes: Vec<String> = nodes
        .iter()
        .map(|(name, node)| format!("{name}: {node}"))
        .collect();
    nodes.join(", ")
}
