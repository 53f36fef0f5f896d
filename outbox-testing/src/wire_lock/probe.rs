//! The values that a type accepts where it requests one without parts. They distinguish a `Uuid`
//! from a `String`.

use serde_json::{Value, json};

/// A value without inner values, as a type requests it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    Bool,
    Integer(&'static str),
    Float(&'static str),
    Char,
    String,
    /// A name of a field or variant.
    Identifier,
    Bytes,
    Null,
    /// Any value: the type inspects it before it decides.
    Any,
    Ignored,
}

/// Strings that are all accepted only by a type without rules.
const TEXTS: [&str; 3] = ["outbox", "An outbox, überall\n", ""];

/// Strings of the distinguished formats.
const FORMATS: [(&str, &str); 10] = [
    ("uuid", "0190b5e2-7b1c-7cc3-8f4e-3d1a0a6c9e11"),
    ("date-time", "2025-01-14T12:30:00Z"),
    ("local date-time", "2025-01-14T12:30:00"),
    ("date", "2025-01-14"),
    ("time", "12:30:00"),
    ("decimal", "1.5"),
    ("integer", "42"),
    ("url", "https://example.com/outbox"),
    ("ip", "192.0.2.1"),
    ("ipv6", "2001:db8::1"),
];

/// The maximum number of formats in a name. A type that accepts more has its own rules.
const MOST_FORMATS: usize = 3;

impl Leaf {
    /// The shape's name and an accepted value, found by calling `takes`.
    pub(super) fn probe(self, takes: impl Fn(&Value) -> bool) -> (String, Option<Value>) {
        match self {
            Self::Bool => plain("bool", [json!(true), json!(false)], takes),
            Self::Integer(width) => {
                let values = [json!(1), json!(0), json!(2), json!(42), json!(100)];
                numeric("integer", width, values, takes)
            }
            Self::Float(width) => {
                let values = [
                    json!(0.5),
                    json!(0.0),
                    json!(1.0),
                    json!(-1.5),
                    json!(100.25),
                ];
                numeric("float", width, values, takes)
            }
            Self::Char => plain("char", [json!("a"), json!("ü"), json!("0")], takes),
            Self::String | Self::Identifier => string(takes),
            Self::Bytes => plain("bytes", [json!([1])], takes),
            Self::Null => plain("null", [json!(null)], takes),
            Self::Any => any(takes),
            Self::Ignored => ("ignored".to_owned(), Some(Value::Null)),
        }
    }
}

fn plain<const N: usize>(
    name: &str,
    values: [Value; N],
    takes: impl Fn(&Value) -> bool,
) -> (String, Option<Value>) {
    let taken: Vec<Value> = values.into_iter().filter(takes).collect();
    let name = match taken.len() {
        taken if taken == N => name.to_owned(),
        _ => format!("{name}(constrained)"),
    };
    (name, taken.into_iter().next())
}

fn numeric<const N: usize>(
    kind: &str,
    width: &str,
    values: [Value; N],
    takes: impl Fn(&Value) -> bool,
) -> (String, Option<Value>) {
    let taken: Vec<Value> = values.into_iter().filter(takes).collect();
    let name = match taken.len() {
        taken if taken == N => format!("{kind}({width})"),
        _ => format!("{kind}({width}, constrained)"),
    };
    (name, taken.into_iter().next())
}

fn string(takes: impl Fn(&Value) -> bool) -> (String, Option<Value>) {
    let takes = |text: &&str| takes(&json!(text));
    let texts: Vec<&str> = TEXTS.into_iter().filter(takes).collect();
    let formats: Vec<(&str, &str)> = FORMATS
        .into_iter()
        .filter(|(_, text)| takes(text))
        .collect();
    let name = match (texts.len(), formats.len()) {
        (texts, formats) if (texts, formats) == (TEXTS.len(), FORMATS.len()) => "string".to_owned(),
        (0, 1..=MOST_FORMATS) => {
            let names: Vec<&str> = formats.iter().map(|(name, _)| *name).collect();
            format!("string({})", names.join("|"))
        }
        _ => "string(constrained)".to_owned(),
    };
    let samples = formats.iter().map(|(_, text)| *text);
    (
        name,
        texts.into_iter().chain(samples).next().map(Value::from),
    )
}

/// Classified by the JSON kinds that are accepted.
fn any(takes: impl Fn(&Value) -> bool) -> (String, Option<Value>) {
    let kinds = [
        ("null", json!(null)),
        ("bool", json!(true)),
        ("integer", json!(1)),
        ("float", json!(0.5)),
        ("string", json!("outbox")),
        ("list", json!([])),
        ("object", json!({})),
    ];
    let all = kinds.len();
    let (names, values): (Vec<&str>, Vec<Value>) =
        kinds.into_iter().filter(|(_, value)| takes(value)).unzip();
    let name = match names.len() {
        0 => "any(constrained)".to_owned(),
        taken if taken == all => "any".to_owned(),
        _ => format!("any({})", names.join("|")),
    };
    (name, values.into_iter().next())
}
