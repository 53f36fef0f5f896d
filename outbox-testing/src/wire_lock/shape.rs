//! The shape of metadata on the wire.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::difference::Difference;
use super::{explore, trace};

/// The form of a type in JSON: its serialized field names, the fields that may be absent, and the
/// shapes of the values inside. The names of Rust types are not part of it.
///
/// It is derived by observing the requests of the type's `Deserialize`, so no type needs a special
/// derive. The [module's documentation](super#limitations) lists what cannot be observed.
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
    /// The shape of a type that serde can read.
    #[must_use]
    pub fn of<T: DeserializeOwned>() -> Self {
        Self::with_unseen::<T>().0
    }

    /// The shape, and the paths that could not be explored.
    pub(super) fn with_unseen<T: DeserializeOwned>() -> (Self, Vec<String>) {
        let (node, unseen) = explore::shape_of(trace::read::<T>);
        (Self(node.collapsed()), unseen)
    }

    /// All differences to `newer`, path by path. Empty if the shapes are equal.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_testing::wire_lock::Shape;
    ///
    /// let (old, new) = (Shape::of::<Option<u8>>(), Shape::of::<Option<String>>());
    /// assert_eq!(old.differences(&new).len(), 1);
    /// assert_eq!(old.differences(&old), []);
    /// ```
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

/// A place of a shape, as the lock file stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "snake_case",
    expecting = "a shape is expected here, such as \"string\" or {\"list\": \"string\"}"
)]
pub(super) enum Node {
    /// May be `null`; a field may also be absent.
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
    /// An object that has more fields than it lists.
    OpenObject(BTreeMap<String, Node>),
    /// Variants with their content: written as the name alone, or as an object with that one key.
    Enum(BTreeMap<String, Node>),
    /// Objects in which one field has the name of a variant. The other fields are not explored.
    Tagged {
        tag: String,
        variants: BTreeMap<String, Node>,
    },
    /// The same shape as the place this many levels further out.
    Recursion(usize),
    /// A place without inner places. Only its name is compared.
    #[serde(untagged)]
    Leaf(String),
}

impl Node {
    pub(super) fn leaf(name: &str) -> Self {
        Self::Leaf(name.to_owned())
    }

    /// The same shape on the wire, with nested `Option`s as a single one.
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

    /// The content of an `Option`, or of several nested ones.
    fn once(self) -> Box<Self> {
        match self {
            Self::Optional(mut inner) => {
                inner.lower(0);
                inner.once()
            }
            node => Box::new(node.collapsed()),
        }
    }

    /// Decrements the levels of recursions that reach more than `depth` levels out.
    fn lower(&mut self, depth: usize) {
        match self {
            Self::Recursion(levels) if *levels > depth => *levels -= 1,
            Self::Recursion(_) | Self::Leaf(_) => {}
            // An absent field adds no level.
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
