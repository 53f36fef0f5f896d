//! The parts that all pages have: sections, the state of live updates, a message.

use crate::link::Links;
use crate::visit::Visit;

/// The sections, in the order of the navigation.
const SECTIONS: [(&str, &str); 8] = [
    ("/", "Overview"),
    ("/events", "Events"),
    ("/dead", "Dead letters"),
    ("/types", "Types"),
    ("/users", "Users"),
    ("/processes", "Processes"),
    ("/pauses", "Pauses"),
    ("/maintenance", "Maintenance"),
];

/// The frame of a page.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) title: &'static str,
    pub(crate) name: String,
    pub(crate) links: Links,
    pub(crate) sections: Vec<Section>,
    pub(crate) form_token: String,
    pub(crate) is_signed_in: bool,
    pub(crate) may_write: bool,
    pub(crate) message: Option<String>,
    /// Whether the page is read again when something changes.
    pub(crate) is_live: bool,
    /// Whether a browser without scripts reads the page again by itself, as something is missing
    /// that comes soon.
    pub(crate) is_incomplete: bool,
}

#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) href: String,
    pub(crate) name: &'static str,
    pub(crate) is_current: bool,
}

impl Frame {
    pub(crate) fn of(visit: &Visit, title: &'static str) -> Self {
        let section = |(path, name): (&str, &'static str)| Section {
            href: visit.links.to(path),
            name,
            is_current: path == visit.path,
        };
        Self {
            title,
            name: visit.app.settings.name.clone(),
            links: visit.links.clone(),
            sections: SECTIONS.map(section).into(),
            form_token: visit.form_token.clone(),
            is_signed_in: visit.is_signed_in,
            may_write: visit.may_write,
            message: message(visit),
            is_live: true,
            is_incomplete: false,
        }
    }

    /// A page whose counts are being made, unless they are there.
    pub(crate) fn awaiting<T>(mut self, counts: Option<&T>) -> Self {
        self.is_incomplete = counts.is_none();
        self
    }

    /// A page that stays as it is, such as one that asks for a decision.
    pub(crate) fn still(mut self) -> Self {
        self.is_live = false;
        self
    }
}

/// The message after an act, from two fields of the query: the act, which is one of ours, and a
/// number. A link of somebody else cannot put other words there.
fn message(visit: &Visit) -> Option<String> {
    let count: u64 = visit.query.parsed("count").ok().flatten().unwrap_or(0);
    let events = if count == 1 { "event" } else { "events" };
    Some(match visit.query.get("done")? {
        "retry" => format!("{count} {events} retried."),
        "discard" => format!("{count} {events} discarded."),
        "cleanup" => format!("{count} completed {events} deleted."),
        "edit" => "The event was edited.".to_owned(),
        "pause" => "Paused.".to_owned(),
        "resume" if count == 0 => "There was no such pause.".to_owned(),
        "resume" => "Resumed.".to_owned(),
        _ => return None,
    })
}

/// The fields of a query that make the [message].
pub(crate) fn done(act: &'static str, count: u64) -> [(&'static str, String); 2] {
    [("done", act.to_owned()), ("count", count.to_string())]
}
