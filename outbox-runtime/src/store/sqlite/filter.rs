//! What a claim leaves out, as SQL: only the number of placeholders varies, every value is bound.

use std::borrow::Cow;

use rusqlite::ToSql;

use crate::claim::{ClaimRequest, EventTypes};

/// A longer list is bound as one value: SQLite takes 32,766 placeholders, and each number of them is a statement of its own.
const LISTED: usize = 100;

/// The conditions of a request, and their values.
pub(super) struct Filter<'r> {
    sql: String,
    is_of_one_user: bool,
    is_of_no_type: bool,
    values: Vec<Cow<'r, str>>,
}

impl<'r> Filter<'r> {
    pub(super) fn of(request: &'r ClaimRequest) -> Self {
        let mut filter = Self {
            sql: String::new(),
            is_of_one_user: request.user_id().is_some(),
            is_of_no_type: *request.event_types() == EventTypes::Only(Vec::new()),
            values: Vec::new(),
        };
        if let Some(user) = request.user_id() {
            filter.sql.push_str(" AND user_id = ?");
            filter.values.push(user.into());
        }
        match request.event_types() {
            EventTypes::Only(types) => filter.list("event_type IN", types),
            EventTypes::AllExcept(types) if types.is_empty() => {}
            EventTypes::AllExcept(types) => filter.list("event_type NOT IN", types),
        }
        if !request.excluded_users().is_empty() {
            filter.list("user_id NOT IN", request.excluded_users());
        }
        filter
    }

    /// To go after another condition.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// Nothing matches. SQLite sees that as well, and has then no use for the index that it is told to take.
    pub(super) fn is_of_no_type(&self) -> bool {
        self.is_of_no_type
    }

    /// The claim's index that has the matching events in claim order. Named in the statement, as SQLite would take the one by
    /// user for any condition on users, and sort.
    pub(super) fn ready_index(&self) -> &'static str {
        if self.is_of_one_user {
            "outbox_ready_user"
        } else {
            "outbox_ready"
        }
    }

    fn list(&mut self, condition: &str, values: &'r [String]) {
        if values.len() > LISTED {
            let sql = format!(" AND {condition} (SELECT value FROM json_each(?))");
            self.sql.push_str(&sql);
            self.values
                .push(serde_json::json!(values).to_string().into());
            return;
        }
        let places = vec!["?"; values.len()].join(", ");
        self.sql.push_str(&format!(" AND {condition} ({places})"));
        let values = values.iter().map(|value| Cow::Borrowed(value.as_str()));
        self.values.extend(values);
    }

    /// The values of the placeholders, in order.
    pub(super) fn values(&self) -> impl Iterator<Item = &dyn ToSql> {
        self.values.iter().map(|value| value as &dyn ToSql)
    }
}
