//! The texts of statements that are put together for each request. Filling in the names and the
//! shared conditions takes longer than all else that a worker does for a claim, so each text is
//! made once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The most texts that are kept. A store has about ten, and more with each kind of filter.
const MOST: usize = 256;

/// Finished texts by their templates.
#[derive(Debug, Default)]
pub(crate) struct Texts(Mutex<HashMap<String, Arc<str>>>);

impl Texts {
    /// The text of this template, which `render` makes if it is new.
    pub(crate) fn of(&self, template: String, render: impl FnOnce(&str) -> String) -> Arc<str> {
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = texts.get(&template) {
            return Arc::clone(text);
        }
        if texts.len() >= MOST {
            texts.clear();
        }
        let text: Arc<str> = render(&template).into();
        texts.insert(template, Arc::clone(&text));
        text
    }
}
