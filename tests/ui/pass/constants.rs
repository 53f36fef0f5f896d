//! A constant may stand wherever a literal may.
#![deny(warnings)]

use std::time::Duration;

use outbox_runtime::{Charge, Coalesce, OnDead, OnExpiry, Order, OutboxEntity};
use serde::{Deserialize, Serialize};

pub mod settings {
    use std::time::Duration;

    pub const PRIORITY: i32 = -5;
    pub const ATTEMPTS: u32 = 9;
    pub const SCHEDULE: &[Duration] = &[Duration::from_secs(1), Duration::from_secs(60)];
    pub const TIMEOUT: Duration = Duration::from_secs(20);
}

const MOOD_ENTRY: &str = "moodEntry";
const OLDER: &[&str] = &["mood"];
const SLOW: Duration = Duration::from_secs(600);

#[derive(Serialize, Deserialize, OutboxEntity)]
#[outbox(
    event_type = MOOD_ENTRY,
    alias = OLDER,
    display_name = Self::NAME,
    priority = settings::PRIORITY,
    max_attempts = settings::ATTEMPTS,
    max_snoozes = settings::ATTEMPTS,
    charge = Charge::Always,
    retry = settings::SCHEDULE,
    timeout = crate::settings::TIMEOUT,
    lease = SLOW,
    order = Order::User,
    on_dead = outbox_runtime::OnDead::Skip,
    coalesce = Coalesce::Latest,
    snapshot
)]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

impl MoodEntry {
    const NAME: &str = "Mood";
}

pub trait Named {
    const NAME: &str;
    const PRIORITY: i32 = 3;
}

impl Named for u8 {
    const NAME: &str = "eight";
}

#[derive(OutboxEntity)]
#[outbox(event_type = <u8 as Named>::NAME, display_name = <u8 as Named>::NAME, priority = <u8 as Named>::PRIORITY)]
struct Byte {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "goal", retry = ["1s", SLOW], lease = "2m", order = "none")]
#[outbox(expires_after = SLOW, on_expiry = OnExpiry::Drop)]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn main() {
    assert_eq!((Byte::EVENT_TYPE, Byte::OPTIONS.priority()), ("eight", 3));
    let _ = |byte: Byte| (byte.id, byte.user_id);
    let options = MoodEntry::OPTIONS;
    assert_eq!(MoodEntry::EVENT_TYPE, "moodEntry");
    assert_eq!(options.event_type(), "moodEntry");
    assert_eq!(options.aliases(), ["mood"]);
    assert_eq!(options.display_name(), "Mood");
    assert_eq!(options.priority(), -5);
    assert_eq!(options.max_attempts(), 9);
    assert_eq!(options.max_snoozes(), Some(9));
    assert_eq!(options.charge(), Charge::Always);
    assert_eq!(options.retry(), Some(settings::SCHEDULE));
    assert_eq!(options.timeout(), Some(Duration::from_secs(20)));
    assert_eq!(options.lease(), Some(SLOW));
    assert_eq!(options.order(), Order::User);
    assert_eq!(options.on_dead(), OnDead::Skip);
    assert_eq!(options.coalesce(), Coalesce::Latest);

    let options = Goal::OPTIONS;
    assert_eq!(options.retry(), Some(&[Duration::from_secs(1), SLOW][..]));
    assert_eq!(options.lease(), Some(Duration::from_secs(120)));
    assert_eq!(options.order(), Order::None);
    assert_eq!(options.on_dead(), OnDead::Hold);
    assert_eq!(options.coalesce(), Coalesce::Never);
    assert_eq!(options.expires_after(), Some(SLOW));
    assert_eq!(options.on_expiry(), OnExpiry::Drop);

    let _ = Goal { id: 1, user_id: "u".into() }.enqueue_sync();
    let _ = MoodEntry { id: 1, user_id: "u".into() }.enqueue_sync();
}
