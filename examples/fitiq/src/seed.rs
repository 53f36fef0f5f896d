//! Generated data, the same for the same seed.

use std::fmt;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use fastrand::Rng;
use fitiq_core::{LocalId, UserId};
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::BoxError;
use uuid::Builder;

use crate::entities::{
    ActivitySnapshot, Attribute, Exercise, MealLog, MealType, Metric, PhysicalAttribute,
    ProfileMetadata, ProfilePhysical, ProgressEntry, Sex, SleepSession, SleepStage, Stage, Workout,
    WorkoutTemplate,
};
use crate::repository::save_new;

/// Generated data for a number of days, up to a last one.
#[derive(Debug, Clone)]
pub struct Seed {
    /// The owner.
    pub user: UserId,
    /// The number of days.
    pub days: u16,
    /// The last of them.
    pub until: NaiveDate,
    /// The seed.
    pub number: u64,
}

/// The amount of written data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seeded {
    /// Hourly values, two per hour.
    pub progress: usize,
    /// Everything else.
    pub others: usize,
}

impl Seed {
    /// Writes all entities and events in the caller's transaction.
    ///
    /// # Errors
    ///
    /// Database errors, such as the data existing already.
    pub fn write(&self, conn: &Connection) -> Result<Seeded, BoxError> {
        let mut maker = Maker {
            user: self.user.clone(),
            rng: Rng::with_seed(self.number),
        };
        let templates = maker.templates();
        let mut seeded = Seeded::default();
        seeded.others += save_new(conn, &[maker.profile()])?;
        seeded.others += save_new(conn, &[maker.physique()])?;
        seeded.others += save_new(conn, &templates)?;
        for back in (0..u64::from(self.days)).rev() {
            let Some(day) = self.until.checked_sub_days(Days::new(back)) else {
                continue;
            };
            seeded.progress += save_new(conn, &maker.hours(day))?;
            seeded.others += save_new(conn, &[maker.night(day)])?;
            seeded.others += save_new(conn, &maker.meals(day))?;
            seeded.others += save_new(conn, &[maker.activity(day)])?;
            if back % 7 == 0 {
                seeded.others += save_new(conn, &[maker.weight(day)])?;
            }
            if back % 2 == 0 {
                seeded.others += save_new(conn, &[maker.workout(day, &templates)])?;
            }
        }
        Ok(seeded)
    }
}

struct Maker {
    user: UserId,
    rng: Rng,
}

impl Maker {
    fn id(&mut self) -> LocalId {
        let bytes = self.rng.u128(..).to_le_bytes();
        LocalId::from_uuid(Builder::from_random_bytes(bytes).into_uuid())
    }

    fn number(&mut self, least: u32, most: u32) -> f64 {
        f64::from(self.rng.u32(least..=most))
    }

    fn hours(&mut self, day: NaiveDate) -> Vec<ProgressEntry> {
        let mut entries = Vec::with_capacity(48);
        for hour in 0..24 {
            for (metric, least, most) in
                [(Metric::Steps, 0, 900), (Metric::RestingHeartRate, 48, 75)]
            {
                entries.push(ProgressEntry {
                    id: self.id(),
                    user: self.user.clone(),
                    metric,
                    value: self.number(least, most),
                    date: day,
                    time: NaiveTime::from_hms_opt(hour, 0, 0),
                    notes: None,
                });
            }
        }
        entries
    }

    fn night(&mut self, day: NaiveDate) -> SleepSession {
        let start = at(day, 22, self.rng.u32(0..60)) - TimeDelta::days(1);
        let mut end = start;
        let mut stages = Vec::new();
        for stage in [
            Stage::Awake,
            Stage::Core,
            Stage::Deep,
            Stage::Core,
            Stage::Rem,
        ] {
            let begin = end;
            end += TimeDelta::minutes(i64::from(self.rng.u32(10..120)));
            stages.push(SleepStage {
                stage,
                start: begin,
                end,
            });
        }
        SleepSession {
            id: self.id(),
            user: self.user.clone(),
            start,
            end,
            stages,
            notes: None,
        }
    }

    fn meals(&mut self, day: NaiveDate) -> Vec<MealLog> {
        const DISHES: [&str; 5] = [
            "porridge with apple",
            "lentil soup",
            "pasta",
            "two eggs on toast",
            "rice and beans",
        ];
        let meals = [
            (MealType::Breakfast, 7),
            (MealType::Lunch, 12),
            (MealType::Dinner, 19),
        ];
        meals
            .into_iter()
            .map(|(meal_type, hour)| MealLog {
                id: self.id(),
                user: self.user.clone(),
                raw_input: DISHES[self.rng.usize(..DISHES.len())].to_owned(),
                meal_type,
                logged_at: at(day, hour, self.rng.u32(0..60)),
                notes: None,
            })
            .collect()
    }

    fn activity(&mut self, day: NaiveDate) -> ActivitySnapshot {
        ActivitySnapshot {
            id: self.id(),
            user: self.user.clone(),
            at: at(day, 23, 0),
            steps: Some(self.number(2_000, 16_000)),
            active_calories: Some(self.number(150, 900)),
            distance_meters: Some(self.number(1_000, 12_000)),
        }
    }

    fn weight(&mut self, day: NaiveDate) -> PhysicalAttribute {
        PhysicalAttribute {
            id: self.id(),
            user: self.user.clone(),
            attribute: Attribute::Weight,
            value: self.number(680, 720) / 10.0,
            date: day,
        }
    }

    fn workout(&mut self, day: NaiveDate, templates: &[WorkoutTemplate]) -> Workout {
        Workout {
            id: self.id(),
            user: self.user.clone(),
            activity_type: "strength_training".to_owned(),
            title: None,
            started_at: at(day, 17, self.rng.u32(0..60)),
            duration_minutes: Some(self.number(20, 90)),
            calories_burned: Some(self.number(120, 700)),
            intensity: Some(self.rng.u8(1..=10)),
            template: self.rng.choice(templates).map(|template| template.id),
        }
    }

    fn templates(&mut self) -> Vec<WorkoutTemplate> {
        ["Push", "Pull", "Legs", "Whole body", "Easy"]
            .map(|name| WorkoutTemplate {
                id: self.id(),
                user: self.user.clone(),
                name: name.to_owned(),
                description: None,
                category: Some("strength".to_owned()),
                exercises: vec![Exercise {
                    exercise_id: self.id().to_string(),
                    sets: Some(3),
                    reps: Some(10),
                }],
            })
            .into()
    }

    fn profile(&mut self) -> ProfileMetadata {
        ProfileMetadata {
            id: self.id(),
            user: self.user.clone(),
            name: "Ada".to_owned(),
            bio: None,
            preferred_unit_system: Some("metric".to_owned()),
            language_code: Some("en".to_owned()),
        }
    }

    fn physique(&mut self) -> ProfilePhysical {
        ProfilePhysical {
            id: self.id(),
            user: self.user.clone(),
            biological_sex: Some(Sex::Female),
            height_cm: Some(self.number(155, 190)),
            date_of_birth: NaiveDate::from_ymd_opt(1985, 12, 10),
        }
    }
}

fn at(day: NaiveDate, hour: u32, minute: u32) -> DateTime<Utc> {
    let time = NaiveTime::from_hms_opt(hour, minute, 0).unwrap_or(NaiveTime::MIN);
    day.and_time(time).and_utc()
}

impl fmt::Display for Seeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { progress, others } = self;
        write!(
            f,
            "{progress} hourly values and {others} other entities, each with its event"
        )
    }
}
