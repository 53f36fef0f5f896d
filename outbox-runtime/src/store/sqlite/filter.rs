//! The filter of a claim as SQL: only the number of placeholders varies, and every value is bound.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rusqlite::ToSql;

use crate::claim::{ClaimRequest, EventTypes, Selector};

/// A longer list is bound as one value: SQLite allows 32,766 placeholders, and each count of
/// placeholders makes a separate statement.
const MAX_LISTED: usize = 100;

/// Conditions per pair of parentheses: SQLite limits the depth of an expression to 1,000.
const MAX_JOINED: usize = 100;

/// The conditions of a request, and their values.
pub(super) struct Filter<'r> {
    sql: String,
    is_of_one_user: bool,
    is_for_nothing: bool,
    values: Vec<Cow<'r, str>>,
}

impl<'r> Filter<'r> {
    pub(super) fn of(request: &'r ClaimRequest) -> Self {
        let mut filter = Self {
            sql: String::new(),
            is_of_one_user: request.one_user().is_some(),
            is_for_nothing: request.is_for_nothing(),
            values: Vec::new(),
        };
        if filter.is_for_nothing {
            return filter;
        }
        if let Some(user) = request.user_id() {
            filter.and(|filter| filter.one_of("user_id", &[user]));
        }
        if !request.event_types().is_everything() {
            filter.and(|filter| filter.types(request.event_types()));
        }
        if !request.excluded_users().is_empty() {
            filter.and(|filter| filter.list("user_id NOT IN", strs(request.excluded_users())));
        }
        for selector in request.included() {
            let excluded = Excluded::by(selector);
            if !excluded.is_everything() {
                filter.and(|filter| filter.all_of(&excluded));
            }
        }
        for joined in Excluded::by_all(request.excluded()).chunks(MAX_JOINED) {
            filter.sql.push_str(" AND NOT (");
            for (nth, excluded) in joined.iter().enumerate() {
                filter.sql.push_str(if nth == 0 { "" } else { " OR " });
                filter.all_of(excluded);
            }
            filter.sql.push(')');
        }
        filter
    }

    /// The SQL to append after another condition.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// Whether nothing can match. SQLite detects that too, and then rejects the index that it is
    /// told to use.
    pub(super) fn is_for_nothing(&self) -> bool {
        self.is_for_nothing
    }

    /// Whether only events of one user can match.
    pub(super) fn is_of_one_user(&self) -> bool {
        self.is_of_one_user
    }

    fn and(&mut self, condition: impl FnOnce(&mut Self)) {
        self.sql.push_str(" AND ");
        condition(self);
    }

    /// Appends all conditions of `excluded`, joined by AND.
    fn all_of(&mut self, excluded: &Excluded<'r>) {
        let Excluded {
            types,
            destinations,
            users,
        } = excluded;
        self.sql.push('(');
        let mut joint = "";
        if let Some(types) = types.filter(|types| !types.is_everything()) {
            self.types(types);
            joint = " AND ";
        }
        if !destinations.is_empty() {
            self.sql.push_str(joint);
            self.destinations(destinations);
            joint = " AND ";
        }
        if !users.is_empty() {
            self.sql.push_str(joint);
            self.one_of("user_id", users);
        }
        self.sql.push(')');
    }

    fn types(&mut self, types: &'r EventTypes) {
        match types {
            EventTypes::Only(types) => self.list("event_type IN", strs(types)),
            EventTypes::AllExcept(types) => self.list("event_type NOT IN", strs(types)),
        }
    }

    /// The condition is never NULL, because `NOT NULL` is NULL too: an event without a destination
    /// matches none of the named ones.
    fn destinations(&mut self, destinations: &[Option<&'r str>]) {
        let named: Vec<&'r str> = destinations.iter().copied().flatten().collect();
        let with_none = named.len() < destinations.len();
        match (with_none, named.is_empty()) {
            (true, true) => self.sql.push_str("destination IS NULL"),
            (true, false) => {
                self.sql.push_str("(destination IS NULL OR ");
                self.one_of("destination", &named);
                self.sql.push(')');
            }
            (false, _) => {
                self.sql.push_str("(destination IS NOT NULL AND ");
                self.one_of("destination", &named);
                self.sql.push(')');
            }
        }
    }

    fn one_of(&mut self, column: &str, values: &[&'r str]) {
        if let [value] = values {
            self.sql.push_str(column);
            self.sql.push_str(" = ?");
            self.values.push(Cow::Borrowed(value));
        } else {
            self.list(&format!("{column} IN"), values.iter().copied());
        }
    }

    fn list(&mut self, condition: &str, values: impl ExactSizeIterator<Item = &'r str>) {
        self.sql.push_str(condition);
        if values.len() > MAX_LISTED {
            self.sql.push_str(" (SELECT value FROM json_each(?))");
            let values: Vec<&str> = values.collect();
            self.values
                .push(serde_json::json!(values).to_string().into());
            return;
        }
        let places = vec!["?"; values.len()].join(", ");
        self.sql.push_str(&format!(" ({places})"));
        self.values.extend(values.map(Cow::Borrowed));
    }

    /// The values of the placeholders, in order.
    pub(super) fn values(&self) -> impl Iterator<Item = &dyn ToSql> {
        self.values.iter().map(|value| value as &dyn ToSql)
    }
}

fn strs(values: &[String]) -> impl ExactSizeIterator<Item = &str> {
    values.iter().map(String::as_str)
}

/// Events of some types, to some destinations, of some users. An empty list means all.
struct Excluded<'r> {
    types: Option<&'r EventTypes>,
    destinations: Vec<Option<&'r str>>,
    users: Vec<&'r str>,
}

fn destinations(selector: &Selector) -> Option<Vec<Option<&str>>> {
    let to = selector.of_destinations()?;
    Some(to.iter().map(Option::as_deref).collect())
}

impl<'r> Excluded<'r> {
    fn by(selector: &'r Selector) -> Self {
        Self {
            types: selector.of_event_types(),
            destinations: destinations(selector).unwrap_or_default(),
            users: selector.of_user().into_iter().collect(),
        }
    }

    fn is_everything(&self) -> bool {
        self.types.is_none_or(EventTypes::is_everything)
            && self.destinations.is_empty()
            && self.users.is_empty()
    }

    /// One entry for all that any of the selectors matches. Selectors that differ only in the user
    /// are merged, then those that differ only in the destination, so that the length of a
    /// statement depends on the number of distinct kinds and not on the number of users.
    fn by_all(selectors: &'r [Selector]) -> Vec<Self> {
        let mut by_users = BTreeMap::<_, Vec<&'r str>>::new();
        let mut of_all_users = BTreeMap::<_, Vec<Option<&'r str>>>::new();
        let mut to_all = Vec::new();
        let selectors = selectors.iter().filter(|selector| !selector.is_nothing());
        for selector in selectors {
            let types = selector.of_event_types();
            match (destinations(selector), selector.of_user()) {
                (to, Some(user)) => by_users.entry((types, to)).or_default().push(user),
                (Some(mut to), None) => of_all_users.entry(types).or_default().append(&mut to),
                (None, None) => to_all.push(types),
            }
        }
        let by_users = by_users.into_iter().map(|((types, to), users)| Self {
            types,
            destinations: to.unwrap_or_default(),
            users,
        });
        let of_all_users = of_all_users.into_iter().map(|(types, destinations)| Self {
            types,
            destinations,
            users: Vec::new(),
        });
        let to_all = to_all.into_iter().map(|types| Self {
            types,
            destinations: Vec::new(),
            users: Vec::new(),
        });
        by_users.chain(of_all_users).chain(to_all).collect()
    }
}
