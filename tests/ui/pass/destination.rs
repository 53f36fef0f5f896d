//! Destinations from every kind of expression, handwritten or from a macro.
#![deny(warnings)]

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;

use outbox_runtime::OutboxEntity;
use outbox_runtime::support::AsDestination;

const REGION: &str = "eu";

macro_rules! to {
    ($name:ident<$($parameter:ident: $bound:path)?> { $($field:ident: $ty:ty)? } = $destination:expr) => {
        #[derive(OutboxEntity)]
        #[outbox(event_type = "to", destination = $destination)]
        pub struct $name<$($parameter: $bound)?> {
            #[outbox(entity_id, user_id)]
            pub id: String,
            $(pub $field: $ty,)?
        }
    };
}

to!(Literal<> {} = "eu");
to!(Constant<> {} = REGION);
to!(Field<> { host: String } = self.host);
to!(Optional<> { host: Option<Box<str>> } = self.host);
to!(Borrowed<> { host: String } = &self.host[1..]);
to!(Shared<> { host: Arc<str> } = self.host.clone());
to!(Formatted<> { host: u8 } = format!("{}.{REGION}", self.host));
to!(Method<> { host: u8 } = self.region());
to!(Sum<> { host: String } = self.host.clone() + ".org");
to!(Generic<H: Display> { host: H } = self.host.to_string());

/// With a `self` of the macro's own.
macro_rules! host_of_self {
    ($name:ident) => {
        #[derive(OutboxEntity)]
        #[outbox(event_type = "hostOfSelf", destination = self.host)]
        pub struct $name {
            #[outbox(entity_id, user_id)]
            pub id: String,
            pub host: String,
        }
    };
}

host_of_self!(HostOfSelf);

#[derive(OutboxEntity)]
#[outbox(
    event_type = "plain",
    destination = self.host.as_deref().unwrap_or(Self::DEFAULT),
    charge = "always",
    max_snoozes = 3
)]
pub struct Plain {
    #[outbox(entity_id, user_id)]
    pub id: String,
    pub host: Option<String>,
}

impl Plain {
    const DEFAULT: &str = "default";
}

impl Method {
    fn region(&self) -> Region {
        Region(self.host)
    }
}

pub struct Region(u8);

impl AsDestination for Region {
    fn as_destination(&self) -> Option<Cow<'_, str>> {
        (self.0 > 0).then(|| format!("region {}", self.0).into())
    }
}

fn destination(entity: &impl OutboxEntity) -> Option<String> {
    entity.destination()
}

fn id() -> String {
    "u".to_owned()
}

fn main() {
    let host = String::from("xeu");
    let eu = Some("eu".to_owned());
    assert_eq!(destination(&Literal { id: id() }), eu);
    assert_eq!(destination(&Constant { id: id() }), eu);
    assert_eq!(destination(&Field { id: id(), host: host.clone() }), Some(host.clone()));
    assert_eq!(destination(&Optional { id: id(), host: None }), None);
    assert_eq!(destination(&Optional { id: id(), host: Some("eu".into()) }), eu);
    assert_eq!(destination(&Borrowed { id: id(), host: host.clone() }), eu);
    assert_eq!(destination(&Shared { id: id(), host: "eu".into() }), eu);
    assert_eq!(destination(&Formatted { id: id(), host: 7 }).as_deref(), Some("7.eu"));
    assert_eq!(destination(&Method { id: id(), host: 0 }), None);
    assert_eq!(destination(&Method { id: id(), host: 2 }).as_deref(), Some("region 2"));
    assert_eq!(destination(&Sum { id: id(), host: "eu".into() }).as_deref(), Some("eu.org"));
    assert_eq!(destination(&Generic { id: id(), host: 1.5 }).as_deref(), Some("1.5"));
    assert_eq!(destination(&HostOfSelf { id: id(), host }).as_deref(), Some("xeu"));

    let plain = Plain { id: id(), host: None };
    let event = plain.enqueue_sync().into_event().unwrap();
    assert_eq!(event.destination(), Some("default"));
    let event = plain.enqueue_sync().destination("elsewhere").into_event().unwrap();
    assert_eq!(event.destination(), Some("elsewhere"));
    assert_eq!(Plain::OPTIONS.max_snoozes(), Some(3));
    assert_eq!(Plain::OPTIONS.charge(), outbox_runtime::Charge::Always);
    assert_eq!(Literal::OPTIONS.charge(), outbox_runtime::Charge::Evidence);
}
