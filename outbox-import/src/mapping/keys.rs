//! A table of the mapping file, whose keys are known.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::error::{MappingError, MappingProblem};

/// The text of the file, which tells the line of a position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'t>(pub(super) &'t str);

impl Text<'_> {
    pub(super) fn error(self, at: &Range<usize>, problem: MappingProblem) -> MappingError {
        let before = self.0.as_bytes().get(..at.start).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        MappingError { line, problem }
    }

    pub(super) fn invalid(
        self,
        at: &Range<usize>,
        key: &str,
        reason: impl Into<String>,
    ) -> MappingError {
        let (key, reason) = (key.to_owned(), reason.into());
        self.error(at, MappingProblem::Invalid { key, reason })
    }
}

/// A table with known keys.
#[derive(Debug)]
pub(super) struct Keys<'d, 't> {
    pub(super) text: Text<'t>,
    pub(super) at: Range<usize>,
    table: &'d DeTable<'t>,
}

impl<'d, 't> Keys<'d, 't> {
    /// Refuses keys that are not known.
    pub(super) fn of(
        text: Text<'t>,
        at: Range<usize>,
        table: &'d DeTable<'t>,
        known: &[&'static str],
    ) -> Result<Self, MappingError> {
        let is_unknown = |name: &&Spanned<_>| !known.contains(&text_of(name));
        let unknown = table.keys().filter(is_unknown);
        if let Some(name) = unknown.min_by_key(|name| name.span().start) {
            let problem = MappingProblem::UnknownKey {
                key: text_of(name).to_owned(),
                known: known.to_vec(),
            };
            return Err(text.error(&name.span(), problem));
        }
        Ok(Self { text, at, table })
    }

    /// The keys of a value that must be a table.
    pub(super) fn of_value(
        text: Text<'t>,
        key: &str,
        value: &'d Spanned<DeValue<'t>>,
        known: &[&'static str],
    ) -> Result<Self, MappingError> {
        let table = table_of(text, key, value)?;
        Self::of(text, value.span(), table, known)
    }

    pub(super) fn get(&self, key: &str) -> Option<&'d Spanned<DeValue<'t>>> {
        let mut entries = self.table.iter();
        let found = entries.find(|(name, _)| text_of(name) == key);
        found.map(|(_, value)| value)
    }

    /// The value of a required key.
    pub(super) fn must(&self, key: &'static str) -> Result<&'d Spanned<DeValue<'t>>, MappingError> {
        let missing = || {
            let problem = MappingProblem::MissingKey { key };
            self.text.error(&self.at, problem)
        };
        self.get(key).ok_or_else(missing)
    }

    /// The value of a key as a string.
    pub(super) fn string(&self, key: &'static str) -> Result<Option<String>, MappingError> {
        self.typed(key, "a string", |value| match value {
            DeValue::String(string) => Some(string.as_ref().to_owned()),
            _ => None,
        })
    }

    /// The value of a key as `true` or `false`.
    pub(super) fn flag(&self, key: &'static str) -> Result<Option<bool>, MappingError> {
        self.typed(key, "true or false", DeValue::as_bool)
    }

    fn typed<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl Fn(&DeValue<'t>) -> Option<T>,
    ) -> Result<Option<T>, MappingError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match read(value.get_ref()) {
            Some(read) => Ok(Some(read)),
            None => {
                let found = value.get_ref().type_str();
                let reason = format!("expected {expected}, found {found}");
                Err(self.text.invalid(&value.span(), key, reason))
            }
        }
    }
}

/// The table that a value must be.
pub(super) fn table_of<'d, 't>(
    text: Text<'t>,
    key: &str,
    value: &'d Spanned<DeValue<'t>>,
) -> Result<&'d DeTable<'t>, MappingError> {
    match value.get_ref() {
        DeValue::Table(table) => Ok(table),
        other => {
            let reason = format!("expected a table, found {}", other.type_str());
            Err(text.invalid(&value.span(), key, reason))
        }
    }
}

pub(super) fn text_of<'n>(name: &'n Spanned<DeString<'_>>) -> &'n str {
    name.get_ref().as_ref()
}
