//! Derives the shape of a type from its requests, place by place.
//!
//! Each place is explored in separate runs, so a value refused in one place has no effect
//! elsewhere: a field that accepts no sample hides nothing of its neighbors. The exploration also
//! finds a value that the type accepts, if there is one. With such values for all other fields, it
//! can test whether a field may be absent.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::probe::Leaf;
use super::shape::Node;
use super::trace::{Answer, Observed, Read, Refusal, Request, Step, run};

/// A place that the type never reached.
const UNSEEN: &str = "unseen";
/// A variant that is written as its name alone.
const UNIT: &str = "unit";

/// The shape of a type, by its reader, and the paths that could not be explored.
pub(super) fn shape_of(read: Read) -> (Node, Vec<String>) {
    let mut explorer = Explorer {
        read,
        path: Vec::new(),
        known: BTreeMap::new(),
        unseen: Vec::new(),
    };
    let node = explorer.explore().node;
    (node, explorer.unseen)
}

struct Explorer {
    read: Read,
    path: Vec<Step>,
    /// Accepted values of the enclosing enums, by depth, for places that recur to them.
    known: BTreeMap<usize, Value>,
    /// The paths that the type never reached.
    unseen: Vec<String>,
}

/// The result for a place.
struct Found {
    node: Node,
    /// A value that is accepted there.
    sample: Option<Value>,
}

impl Found {
    fn without_sample(node: Node) -> Self {
        Self { node, sample: None }
    }
}

/// The results for fields, by name.
type Fields = BTreeMap<&'static str, Found>;

impl Explorer {
    fn run(&self, answer: Answer<'_>) -> Observed {
        run(self.read, &self.path, answer)
    }

    fn takes(&self, json: &Value) -> bool {
        self.run(Answer::Json(json)).taken == Some(Ok(()))
    }

    /// Explores the place one step further in.
    fn descend(&mut self, step: Step) -> Found {
        self.path.push(step);
        let found = self.explore();
        self.path.pop();
        found
    }

    fn explore(&mut self) -> Found {
        match self.run(Answer::Nothing).request {
            None => self.unseen(""),
            Some(Request::Recursion(levels)) => {
                let depth = self.path.len() - levels;
                Found {
                    node: Node::Recursion(levels),
                    sample: self.known.get(&depth).cloned(),
                }
            }
            Some(Request::Leaf(leaf)) => self.leaf(leaf),
            Some(Request::UnitVariant) => Found {
                node: Node::leaf(UNIT),
                sample: Some(Value::Null),
            },
            Some(Request::Option) => self.option(),
            Some(Request::List) => self.list(),
            Some(Request::Tuple(len)) => self.tuple(len),
            Some(Request::Map) => self.map(),
            Some(Request::Object(names)) => self.object(names),
            Some(Request::Enum(variants)) => self.enumeration(variants),
        }
    }

    /// Records a place behind a value for which no sample is accepted.
    fn unseen(&mut self, further: &str) -> Found {
        self.unseen.push(self.place() + further);
        Found::without_sample(Node::leaf(UNSEEN))
    }

    /// The current path, as differences print it.
    fn place(&self) -> String {
        self.path
            .iter()
            .fold(String::new(), |path, step| match step {
                Step::Some => path,
                Step::Element { before } if before.is_empty() => path + "[]",
                Step::Element { before } => format!("{path}.{}", before.len()),
                Step::Key => path + "{key}",
                Step::Value { key } => match (path.as_str(), key.as_str()) {
                    ("", Some(key)) => key.to_owned(),
                    (path, Some(key)) => format!("{path}.{key}"),
                    (path, None) => format!("{path}{{}}"),
                },
                Step::Variant(name) => format!("{path}::{name}"),
            })
    }

    fn leaf(&self, leaf: Leaf) -> Found {
        let (name, sample) = leaf.probe(|json| self.takes(json));
        let tagged = match (leaf, &sample) {
            (Leaf::Any, None) => self.tagged(),
            _ => None,
        };
        let node = Node::Leaf(name);
        tagged.unwrap_or(Found { node, sample })
    }

    /// An internally tagged enum (`#[serde(tag = "kind")]`) inspects the whole value before it
    /// decides. But it reports a missing tag, and lists the valid ones.
    fn tagged(&self) -> Option<Found> {
        let Some(Err(Refusal::MissingField(tag))) = self.run(Answer::Entries(&[])).taken else {
            return None;
        };
        let Some(Err(Refusal::UnknownVariant(names))) = self.run(Answer::NoVariant(tag)).taken
        else {
            return None;
        };
        let variants: BTreeMap<String, Node> = names
            .iter()
            .map(|name| ((*name).to_owned(), Node::leaf("any")))
            .collect();
        // Only variants without fields are complete with their tag alone.
        let only_tags: Vec<Value> = variants
            .keys()
            .map(|name| Value::from_iter([(tag, name.as_str())]))
            .collect();
        let tag = tag.to_owned();
        Some(self.with_sample(Node::Tagged { tag, variants }, only_tags))
    }

    /// Chooses the first candidate that is accepted.
    fn with_sample(&self, node: Node, candidates: impl IntoIterator<Item = Value>) -> Found {
        let sample = candidates.into_iter().find(|json| self.takes(json));
        Found { node, sample }
    }

    fn option(&mut self) -> Found {
        let Found { node, sample } = self.descend(Step::Some);
        let node = Node::Optional(Box::new(node));
        self.with_sample(node, [Value::Null].into_iter().chain(sample))
    }

    fn list(&mut self) -> Found {
        let Found { node, sample } = self.descend(Step::Element { before: Vec::new() });
        let node = Node::List(Box::new(node));
        let one = sample.map(|sample| Value::Array(vec![sample]));
        self.with_sample(node, [Value::Array(Vec::new())].into_iter().chain(one))
    }

    /// An element of a tuple is reached only if the elements before it are accepted.
    fn tuple(&mut self, len: usize) -> Found {
        let mut nodes = Vec::new();
        let mut samples: Option<Vec<Value>> = Some(Vec::new());
        for at in 0..len {
            let found = match &samples {
                Some(before) => self.descend(Step::Element {
                    before: before.clone(),
                }),
                None => self.unseen(&format!(".{at}")),
            };
            nodes.push(found.node);
            samples = samples.zip(found.sample).map(|(mut samples, sample)| {
                samples.push(sample);
                samples
            });
        }
        self.with_sample(Node::Tuple(nodes), samples.map(Value::Array))
    }

    fn map(&mut self) -> Found {
        self.path.push(Step::Key);
        let request = self.run(Answer::Nothing).request;
        self.path.pop();
        if let Some(Request::Leaf(Leaf::Identifier)) = request {
            return self.open_object();
        }
        let key = self.descend(Step::Key);
        let value = match key.sample {
            Some(key) => self.descend(Step::Value { key }),
            None => self.unseen("{}"),
        };
        let node = Node::Map {
            key: Box::new(key.node),
            value: Box::new(value.node),
        };
        self.with_sample(node, [Value::Object(Map::new())])
    }

    fn object(&mut self, names: &'static [&'static str]) -> Found {
        let mut fields: Fields = names.iter().map(|name| (*name, self.field(name))).collect();
        // The list also has the aliases of fields, which are never written.
        let aliases: Vec<&str> = fields
            .iter()
            .filter(|(name, found)| self.is_alias(name, found))
            .map(|(name, _)| *name)
            .collect();
        fields.retain(|name, _| !aliases.contains(name));
        let sample = self.object_of(&fields);
        let absent: Vec<bool> = fields
            .iter()
            .map(|(name, found)| match &sample {
                Some(_) => self.may_be_absent(name, &fields),
                // The field that is missed first would depend on the order of the fields, which is
                // not part of the shape.
                None => matches!(found.node, Node::Optional(_)),
            })
            .collect();
        let nodes = fields
            .into_iter()
            .zip(absent)
            .map(|((name, found), absent)| (name.to_owned(), found.node.in_field(absent)));
        Found {
            node: Node::Object(nodes.collect()),
            sample,
        }
    }

    /// An object that lists no names and keeps unknown fields, as with `#[serde(flatten)]`. The
    /// names of its required fields are learned from the fields that it misses.
    fn open_object(&mut self) -> Found {
        let mut fields = Fields::new();
        while let Some(Err(Refusal::MissingField(name))) =
            self.run(Answer::Entries(&entries(&fields, None))).taken
        {
            // The field is missing although it was given, or no value for it is accepted:
            // exploration ends here.
            if fields.contains_key(name) {
                self.unseen(&format!(".{name} and what comes after it"));
                break;
            }
            let field = self.field(name);
            fields.insert(name, field);
        }
        let sample = self.object_of(&fields);
        let nodes = fields
            .into_iter()
            .map(|(name, found)| (name.to_owned(), found.node));
        Found {
            node: Node::OpenObject(nodes.collect()),
            sample,
        }
    }

    fn field(&mut self, name: &'static str) -> Found {
        self.descend(Step::Value {
            key: Value::from(name),
        })
    }

    /// Whether a second value with this name counts as a duplicate of another field.
    fn is_alias(&self, name: &str, found: &Found) -> bool {
        let Some(sample) = &found.sample else {
            return false;
        };
        let twice = [(name, sample), (name, sample)];
        let taken = self.run(Answer::Entries(&twice)).taken;
        matches!(taken, Some(Err(Refusal::DuplicateField(of))) if of != name)
    }

    /// Whether an otherwise complete object is accepted without the field.
    fn may_be_absent(&self, name: &str, fields: &Fields) -> bool {
        let others = entries(fields, Some(name));
        self.run(Answer::Entries(&others)).taken == Some(Ok(()))
    }

    /// An object with all fields, if it is accepted.
    fn object_of(&self, fields: &Fields) -> Option<Value> {
        let entries = entries(fields, None);
        (self.run(Answer::Entries(&entries)).taken == Some(Ok(()))).then(|| {
            let entries = entries
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.clone()));
            Value::Object(entries.collect())
        })
    }

    /// Explores an enum. A variant that contains the enum again, at any depth, can be explored
    /// completely only with a value of another variant.
    fn enumeration(&mut self, variants: &'static [&'static str]) -> Found {
        let depth = self.path.len();
        let mut found: BTreeMap<&str, Found> = variants
            .iter()
            .map(|name| (*name, self.descend(Step::Variant(name))))
            .collect();
        let sample = self.variant_of(&found);
        if let Some(sample) = sample.clone() {
            self.known.insert(depth, sample);
            for (name, found) in &mut found {
                if found.sample.is_none() {
                    // Places that the first pass could not explore may be reachable now.
                    let place = format!("{}::{name}", self.place());
                    self.unseen.retain(|unseen| !unseen.starts_with(&place));
                    *found = self.descend(Step::Variant(name));
                }
            }
            self.known.remove(&depth);
        }
        let nodes = found
            .into_iter()
            .map(|(name, found)| (name.to_owned(), found.node));
        Found {
            node: Node::Enum(nodes.collect()),
            sample,
        }
    }

    /// The first variant that is accepted.
    fn variant_of(&self, found: &BTreeMap<&str, Found>) -> Option<Value> {
        let written = |name: &str, content: &Found| {
            let sample = content.sample.clone()?;
            Some(match content.node == Node::leaf(UNIT) {
                true => Value::from(name),
                false => Value::Object(Map::from_iter([(name.to_owned(), sample)])),
            })
        };
        found
            .iter()
            .filter_map(|(name, content)| written(name, content))
            .find(|json| self.takes(json))
    }
}

/// All fields that have a sample, except for one.
fn entries<'a>(fields: &'a Fields, without: Option<&str>) -> Vec<(&'a str, &'a Value)> {
    fields
        .iter()
        .filter(|(name, _)| Some(**name) != without)
        .filter_map(|(name, found)| Some((*name, found.sample.as_ref()?)))
        .collect()
}
