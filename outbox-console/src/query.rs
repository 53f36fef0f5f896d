//! Names and values of a query or a form.

use std::str::FromStr;

use outbox_operate::key_of;
use outbox_runtime::store::PageKey;
use outbox_runtime::{DeadReason, EntityId, EventFilter, OutboxStatus};
use uuid::Uuid;

/// Pairs in the order in which they were sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pairs(Vec<(String, String)>);

impl Pairs {
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// The first value of this name that is not empty: a form sends empty fields, too.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let wanted = self.0.iter().filter(move |(its_name, _)| its_name == name);
        let values = wanted.map(|(_, value)| value.as_str());
        values.filter(|value| !value.is_empty())
    }

    /// The value as something that can be parsed.
    ///
    /// # Errors
    ///
    /// The value is something else.
    pub(crate) fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let wrong = |_| format!("the value of {name} cannot be read");
        self.get(name).map(str::parse).transpose().map_err(wrong)
    }

    /// The ids of events.
    ///
    /// # Errors
    ///
    /// One of them is none.
    pub(crate) fn ids(&self) -> Result<Vec<Uuid>, String> {
        let ids = self.all("id").map(str::parse);
        let ids: Result<Vec<Uuid>, _> = ids.collect();
        ids.map_err(|_| "the id of an event is a UUID".to_owned())
    }

    /// Where a page begins.
    ///
    /// # Errors
    ///
    /// The key is none.
    pub(crate) fn key(&self) -> Result<Option<PageKey>, String> {
        let Some(text) = self.get("after") else {
            return Ok(None);
        };
        let nowhere = || "the page begins nowhere: follow the links of the first page".to_owned();
        key_of(text).map(Some).ok_or_else(nowhere)
    }
}

/// The events that a page is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) states: Vec<OutboxStatus>,
    pub(crate) event_type: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) entity: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) reason: Option<DeadReason>,
}

impl Filter {
    /// # Errors
    ///
    /// An unknown state or reason.
    pub(crate) fn read(pairs: &Pairs) -> Result<Self, String> {
        let owned = |name| pairs.get(name).map(str::to_owned);
        let states = pairs.all("state").flat_map(|states| states.split(','));
        let states: Result<_, _> = states.map(str::parse::<OutboxStatus>).collect();
        let reason = pairs
            .get("reason")
            .map(str::parse::<DeadReason>)
            .transpose();
        Ok(Self {
            states: states.map_err(|error| error.to_string())?,
            event_type: owned("type"),
            user: owned("user"),
            entity: owned("entity"),
            text: owned("text"),
            reason: reason.map_err(|error| error.to_string())?,
        })
    }

    pub(crate) fn selected(&self) -> EventFilter {
        let mut filter = EventFilter::default();
        filter.statuses.clone_from(&self.states);
        filter.event_type.clone_from(&self.event_type);
        filter.user_id.clone_from(&self.user);
        filter.entity_id = self.entity.clone().map(EntityId::from);
        filter.error_text.clone_from(&self.text);
        filter.dead_reason = self.reason;
        filter
    }

    /// The filter as a query that reads back as the same.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        for state in &self.states {
            pairs.push(("state", state.as_str().to_owned()));
        }
        let texts = [
            ("type", &self.event_type),
            ("user", &self.user),
            ("entity", &self.entity),
            ("text", &self.text),
        ];
        for (name, text) in texts {
            pairs.extend(text.clone().map(|text| (name, text)));
        }
        let reason = self.reason.map(|reason| reason.as_str().to_owned());
        pairs.extend(reason.map(|reason| ("reason", reason)));
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::encoded;

    #[test]
    fn a_filter_in_a_query_reads_back_as_the_same() {
        let filter = Filter {
            states: vec![OutboxStatus::Dead, OutboxStatus::Failed],
            event_type: Some("a\r\nb\0c".to_owned()),
            user: Some("'\"<>&=+ %".to_owned()),
            entity: Some("../..".to_owned()),
            text: Some("\u{202e}é".to_owned()),
            reason: Some(DeadReason::Rejected),
        };
        let query = encoded(filter.pairs());
        assert_eq!(Filter::read(&Pairs::parse(query.as_bytes())), Ok(filter));
    }

    #[test]
    fn an_unknown_state_reason_id_or_key_is_refused() {
        let of = |query: &str| Pairs::parse(query.as_bytes());
        assert!(Filter::read(&of("state=lost")).is_err());
        assert!(Filter::read(&of("reason=lost")).is_err());
        assert!(of("id=7").ids().is_err());
        assert!(of("after=7").key().is_err());
        assert_eq!(of("after=-7.9").key(), Ok(Some(PageKey::new(-7, 9))));
        assert_eq!(of("after=&state=").key(), Ok(None));
    }
}
