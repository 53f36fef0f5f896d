//! The documentation of an item, and the names in its examples.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The documentation in the attributes, one line for each of them.
pub fn of(attrs: &[Attribute]) -> String {
    let mut docs = String::new();
    for attr in attrs {
        if let Some(line) = value_of(attr) {
            docs.push_str(&line);
            docs.push('\n');
        }
    }
    docs
}

fn value_of(attr: &Attribute) -> Option<String> {
    let Meta::NameValue(meta) = &attr.meta else {
        return None;
    };
    match &meta.value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) if meta.path.is_ident("doc") => Some(text.value()),
        _ => None,
    }
}

/// Whether rustdoc leaves the item out.
pub fn is_hidden(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| {
        let mut hidden = false;
        if attr.path().is_ident("doc") && matches!(attr.meta, Meta::List(_)) {
            let _ = attr.parse_nested_meta(|meta| {
                hidden |= meta.path.is_ident("hidden");
                Ok(())
            });
        }
        hidden
    })
}

/// The lines of the examples that readers see.
fn visible_lines(docs: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut block = None;
    for line in docs.lines() {
        let line = line.trim();
        match (block, line.strip_prefix("```")) {
            (None, Some(language)) => block = Some(is_example(language)),
            (Some(_), Some(_)) => block = None,
            (Some(true), None) if line != "#" && !line.starts_with("# ") => lines.push(line),
            _ => {}
        }
    }
    lines
}

/// Whether the block is Rust that compiles.
fn is_example(language: &str) -> bool {
    let mut words = language.split(',').map(str::trim);
    words.all(|word| matches!(word, "" | "rust" | "no_run" | "should_panic"))
}

/// Whether there is an example at all.
pub fn has_example(docs: &str) -> bool {
    !visible_lines(docs).is_empty()
}

/// Whether an example names this identifier.
pub fn names(docs: &str, name: &str) -> bool {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
    visible_lines(docs).into_iter().any(|line| {
        let code = line.split("//").next().unwrap_or(line);
        code.split(|c| !is_of_word(c)).any(|word| word == name)
    })
}

/// The name in "See [`name`](..) for an example", if the documentation says so.
pub fn pointer(docs: &str) -> Option<String> {
    let text = words(docs);
    let (before, _) = text.split_once(" for an example")?;
    let (_, link) = before.rsplit_once("See [`")?;
    let (name, _) = link.split_once("`]")?;
    Some(name.to_owned())
}

/// The text on one line.
pub fn words(docs: &str) -> String {
    docs.split_whitespace().collect::<Vec<_>>().join(" ")
}
