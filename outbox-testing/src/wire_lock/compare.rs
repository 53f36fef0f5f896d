//! Compares the events of a set with those that the file records.

use super::difference::Difference;
use super::error::Finding;
use super::event::EventShapes;
use super::file::{Events, Recorded};

/// All differences between a set and its recorded events.
pub(super) fn compared(of_set: &Events, events: &[EventShapes]) -> Vec<Finding> {
    let unknown = Recorded::default();
    let mut findings = Vec::new();
    for event in events.iter().filter(|event| !event.is_retired()) {
        let known = of_set.get(event.event_type()).unwrap_or(&unknown);
        findings.extend(keys_changed(event, event.event_type(), known));
        findings.extend(unreadable(event, event.event_type(), known));
        findings.extend(of_aliases(event, of_set));
        let recorded = &known.versions;
        let of_versions = event.shapes.iter().filter_map(|(version, shape)| {
            let recorded = recorded.get(version).map(|was| was.differences(shape));
            finding(event, event.event_type(), *version, recorded)
        });
        findings.extend(of_versions);
    }
    let is_there = |had: &&String| events.iter().any(|event| event.is_stored_as(had));
    let vanished = of_set.keys().filter(|had| !is_there(had));
    findings.extend(vanished.map(|event_type| Finding::Vanished {
        event_type: event_type.clone(),
    }));
    findings
}

/// The recorded versions of a type that the event does not read.
fn unreadable(
    event: &EventShapes,
    event_type: &str,
    known: &Recorded,
) -> impl Iterator<Item = Finding> {
    let versions = known.versions.keys().copied();
    versions.filter_map(move |version| {
        let event_type = event_type.to_owned();
        if version > event.version() {
            Some(Finding::WentBack {
                event_type,
                recorded: version,
                version: event.version(),
            })
        } else {
            let is_read = event.of_version(version).is_some();
            (!is_read).then_some(Finding::NotRead {
                event_type,
                version,
            })
        }
    })
}

/// The findings about rows of the event's older names: they are read as this event, so its shapes
/// must be those that are recorded under the older name.
pub(super) fn of_aliases(event: &EventShapes, of_set: &Events) -> Vec<Finding> {
    let mut findings = Vec::new();
    for alias in event.aliases() {
        let Some(known) = of_set.get(*alias) else {
            continue;
        };
        findings.extend(keys_changed(event, alias, known));
        findings.extend(unreadable(event, alias, known));
        findings.extend(known.versions.iter().filter_map(|(version, was)| {
            let is = event.of_version(*version)?;
            finding(event, alias, *version, Some(was.differences(is)))
        }));
    }
    findings
}

/// The order and the id type of an event, if they differ from the recorded ones.
fn keys_changed(
    event: &EventShapes,
    event_type: &str,
    known: &Recorded,
) -> impl Iterator<Item = Finding> {
    let changed = |was: &Option<String>, is: Option<&str>| {
        let (was, is) = (was.clone()?, is?.to_owned());
        (was != is).then_some((was, is))
    };
    let event_type = || event_type.to_owned();
    let order = changed(&known.order, Some(event.order().as_str()));
    let order = order.map(|(was, is)| Finding::OrderChanged {
        event_type: event_type(),
        was,
        is,
    });
    let id = changed(&known.entity_id, event.entity_id_type().name());
    let id = id.map(|(was, is)| Finding::EntityIdChanged {
        event_type: event_type(),
        was,
        is,
    });
    order.into_iter().chain(id)
}

/// The finding for a version. `differences` is `None` if the version is not recorded.
fn finding(
    event: &EventShapes,
    event_type: &str,
    version: u32,
    differences: Option<Vec<Difference>>,
) -> Option<Finding> {
    let event_type = event_type.to_owned();
    match differences {
        None => Some(Finding::Unrecorded {
            event_type,
            version,
        }),
        Some(differences) if differences.is_empty() => None,
        Some(differences) if version == event.version() => Some(Finding::Changed {
            event_type,
            version,
            differences,
        }),
        Some(differences) => Some(Finding::OlderChanged {
            event_type,
            version,
            differences,
        }),
    }
}
