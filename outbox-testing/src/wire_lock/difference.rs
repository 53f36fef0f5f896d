//! Readable differences between two shapes.

use std::collections::BTreeMap;
use std::fmt;

use super::shape::Node;

/// A place where two shapes differ.
///
/// # Examples
///
/// ```
/// use outbox_testing::wire_lock::{Difference, Shape};
///
/// let newer = Shape::of::<Vec<i64>>();
/// let differences: Vec<Difference> = Shape::of::<Vec<String>>().differences(&newer);
/// assert_eq!(differences[0].to_string(), "[]: string → integer(i64)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    path: String,
    change: Change,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Added(Node),
    Removed(Node),
    Changed { was: Node, is: Node },
}

impl Difference {
    /// The path from the metadata to the place: `labels[]` for the elements of a list, `scores{}`
    /// for the values of a map, `kind::Walk` for a variant, `pair.0` for an element of a tuple.
    /// Empty for the metadata itself.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn between(was: &Node, is: &Node) -> Vec<Self> {
        let mut found = Vec::new();
        // Shapes recorded by an earlier version of this library may not be collapsed.
        let (was, is) = (was.clone().collapsed(), is.clone().collapsed());
        compare(String::new(), &was, &is, &mut found);
        found
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        match &self.change {
            Change::Added(node) => write!(f, "added, {node}"),
            Change::Removed(node) => write!(f, "removed, was {node}"),
            Change::Changed { was, is } => write!(f, "{was} → {is}"),
        }
    }
}

fn compare(path: String, was: &Node, is: &Node, found: &mut Vec<Difference>) {
    match (was, is) {
        (was, is) if was == is => {}
        (Node::Optional(was), Node::Optional(is))
        | (Node::Default(was), Node::Default(is))
        | (Node::Nullable(was), Node::Nullable(is)) => compare(path, was, is, found),
        (Node::List(was), Node::List(is)) => compare(path + "[]", was, is, found),
        (Node::Tuple(was), Node::Tuple(is)) if was.len() == is.len() => {
            for (at, (was, is)) in was.iter().zip(is).enumerate() {
                compare(field(&path, &at.to_string()), was, is, found);
            }
        }
        (
            Node::Map { key, value },
            Node::Map {
                key: new_key,
                value: new_value,
            },
        ) => {
            compare(path.clone() + "{key}", key, new_key, found);
            compare(path + "{}", value, new_value, found);
        }
        (Node::Object(was), Node::Object(is)) | (Node::OpenObject(was), Node::OpenObject(is)) => {
            compare_named(|name| field(&path, name), was, is, found);
        }
        (Node::Enum(was), Node::Enum(is)) => {
            compare_named(|name| format!("{path}::{name}"), was, is, found);
        }
        (
            Node::Tagged { tag, variants },
            Node::Tagged {
                tag: new_tag,
                variants: new_variants,
            },
        ) if tag == new_tag => {
            compare_named(
                |name| format!("{path}::{name}"),
                variants,
                new_variants,
                found,
            );
        }
        (was, is) => found.push(Difference {
            path,
            change: Change::Changed {
                was: was.clone(),
                is: is.clone(),
            },
        }),
    }
}

/// Compares fields or variants: removed, changed, added.
fn compare_named(
    path: impl Fn(&str) -> String,
    was: &BTreeMap<String, Node>,
    is: &BTreeMap<String, Node>,
    found: &mut Vec<Difference>,
) {
    for (name, was) in was {
        match is.get(name) {
            Some(is) => compare(path(name), was, is, found),
            None => found.push(Difference {
                path: path(name),
                change: Change::Removed(was.clone()),
            }),
        }
    }
    for (name, is) in is.iter().filter(|(name, _)| !was.contains_key(*name)) {
        found.push(Difference {
            path: path(name),
            change: Change::Added(is.clone()),
        });
    }
}

fn field(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}
