//! `/api/v1/users/me`: exists from the first request on.

use serde::{Deserialize, Serialize};

use super::{Route, Visit};
use crate::answer::{Done, Envelope, Refusal};
use crate::rules::{self, Checked};
use crate::store::{Collection, Entity, Store, Stranger};

pub(super) const ROUTES: &[Route] = &[
    Route::user("GET /api/v1/users/me", Envelope::Plain, show),
    Route::user("PUT /api/v1/users/me", Envelope::Plain, replace),
    Route::user("PATCH /api/v1/users/me/physical", Envelope::Plain, measure),
];

const SEXES: [&str; 3] = ["male", "female", "other"];

/// A user as sent.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Profile {
    id: String,
    email: String,
    #[serde(flatten)]
    about: About,
    physical: Physical,
    created_at: String,
    updated_at: String,
}

/// The profile as written by the user.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct About {
    name: Option<String>,
    bio: Option<String>,
    preferred_unit_system: Option<String>,
    language_code: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Physical {
    biological_sex: Option<String>,
    height_cm: Option<f64>,
    date_of_birth: Option<String>,
}

impl Physical {
    fn check(&self) -> Checked {
        if let Some(sex) = &self.biological_sex {
            rules::one_of("biological_sex", sex, &SEXES)?;
        }
        if let Some(height) = self.height_cm {
            rules::range("height_cm", height, 30.0..=300.0)?;
        }
        if let Some(day) = &self.date_of_birth {
            rules::day("date_of_birth", day)?;
        }
        Ok(())
    }
}

impl Entity for Profile {
    const COLLECTION: &'static str = "profiles";
    const NOUN: &'static str = "user";
    const STRANGER: Stranger = Stranger::NotFound;

    fn collection(store: &mut Store) -> &mut Collection<Self> {
        &mut store.profiles
    }
}

fn show(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    Ok(Done::ok(own(store, visit)?).about(visit.user))
}

fn replace(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    let about: About = visit.read()?;
    rules::optional_length("name", about.name.as_deref(), 200)?;
    rules::optional_length("bio", about.bio.as_deref(), 1000)?;
    let profile = own(store, visit)?;
    profile.about = about;
    profile.updated_at = rules::seconds(visit.now);
    Ok(Done::ok(profile).about(visit.user))
}

/// Absent keys change nothing.
fn measure(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    let new: Physical = visit.read()?;
    new.check()?;
    let profile = own(store, visit)?;
    let old = std::mem::take(&mut profile.physical);
    profile.physical = Physical {
        biological_sex: new.biological_sex.or(old.biological_sex),
        height_cm: new.height_cm.or(old.height_cm),
        date_of_birth: new.date_of_birth.or(old.date_of_birth),
    };
    profile.updated_at = rules::seconds(visit.now);
    Ok(Done::ok(profile).about(visit.user))
}

fn own<'a>(store: &'a mut Store, visit: &Visit<'_>) -> Result<&'a mut Profile, Refusal> {
    if store.profiles.get(visit.user, visit.user).is_err() {
        let now = rules::seconds(visit.now);
        let profile = Profile {
            id: visit.user.to_owned(),
            email: visit.email.to_owned(),
            about: About::default(),
            physical: Physical::default(),
            created_at: now.clone(),
            updated_at: now,
        };
        store.profiles.insert(visit.user.to_owned(), profile, visit);
    }
    store.profiles.get_mut(visit.user, visit.user)
}
