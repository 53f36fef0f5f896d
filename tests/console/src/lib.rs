//! The web console in a headless Chromium, driven by WebDriver.
//!
//! The tests need `chromium` and `chromedriver`, and those of accessibility axe-core in the folder
//! `OUTBOX_AXE`. Where one of them is missing, the tests say so in one line and are skipped; with
//! `OUTBOX_BROWSER_REQUIRED=1` they fail.

mod axe; // violations of WCAG
mod browser; // a session, and what the tests do with it
mod console; // a console on a port of its own
mod driver; // the WebDriver process, which ends with its browser
mod options; // how the browser is started
mod outbox; // stores with the data that the screens show
mod pages; // pages of the tests' own, for controls
mod served; // a router on a thread of its own

pub use self::axe::Axe;
pub use self::browser::{Browser, in_browser};
pub use self::console::{Console, Setup, TOKEN};
pub use self::options::Options;
pub use self::outbox::{HOSTILE, Outbox};
pub use self::pages::Pages;
pub use thirtyfour::Key;

/// A host name that is not an address and leads to this machine in every browser of the tests.
pub const HOST: &str = "console.test";

/// The host name of another site, which leads to this machine too.
pub const ELSEWHERE: &str = "elsewhere.test";
