//! The answers of a handler, and their wording.

use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::{Delivery, Scope};

/// Every answer can carry a cause, which a pause reports.
#[test]
fn every_answer_can_carry_its_cause() {
    let answers = [
        HandlerError::retry("first"),
        HandlerError::permanent("first"),
        HandlerError::unavailable("first"),
        HandlerError::offline(),
        HandlerError::unauthenticated(),
        HandlerError::rate_limited(Duration::from_secs(1)),
        HandlerError::obsolete(),
        HandlerError::snooze(Duration::from_secs(1)),
    ];
    for answer in answers {
        let delivery = answer.delivery();
        let answer = answer.for_user().because("the VPN is down");
        assert_eq!(answer.to_string(), "the VPN is down");
        assert_eq!(answer.delivery(), delivery);
        assert_eq!(*answer.scope(), Scope::User);
    }
    for (answer, text) in [
        (HandlerError::offline(), "offline"),
        (
            HandlerError::unauthenticated(),
            "the credentials were refused",
        ),
        (HandlerError::rate_limited(Duration::ZERO), "rate limited"),
    ] {
        assert_eq!(answer.to_string(), text);
    }
}

#[test]
fn an_answer_is_about_the_destination_unless_it_names_another_scope() {
    let offline = HandlerError::offline();
    assert_eq!(*offline.scope(), Scope::Destination);
    assert_eq!(*offline.for_user().scope(), Scope::User);
    let other = HandlerError::unavailable("HTTP 503").for_destination("files.example.com");
    let named = Scope::Named("files.example.com".to_owned());
    assert_eq!(*other.scope(), named);
}

#[test]
fn a_service_that_is_unavailable_may_say_until_when() {
    let after = Duration::from_secs(7);
    let answer = HandlerError::unavailable("maintenance").with_retry_after(after);
    let expected = Delivery::Unavailable { after: Some(after) };
    assert_eq!(answer.delivery(), expected);
    let offline = HandlerError::offline().with_retry_after(after);
    assert_eq!(offline.delivery(), Delivery::Offline);
}
