//! How the browser is started.

use serde_json::json;
use thirtyfour::ChromeCapabilities;
use thirtyfour::common::capabilities::chromium::ChromiumLikeCapabilities;
use thirtyfour::prelude::*;

use crate::driver::Driver;
use crate::{ELSEWHERE, HOST};

/// The size of the window, in pixels.
pub(crate) const SIZE: (u32, u32) = (1200, 900);

/// The settings of a session.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether pages may run scripts. Default: yes.
    pub scripts: bool,
    /// Whether the system is in dark mode. Default: no.
    pub dark: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scripts: true,
            dark: false,
        }
    }
}

pub(crate) fn capabilities(
    driver: &Driver,
    options: Options,
) -> WebDriverResult<ChromeCapabilities> {
    let mut all = DesiredCapabilities::chrome();
    all.set_binary(driver.browser())?;
    let (width, height) = SIZE;
    // No name leads to another machine.
    let hosts = format!(
        "MAP {HOST} 127.0.0.1, MAP {ELSEWHERE} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    );
    for argument in [
        "--headless=new",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-sync",
        "--hide-scrollbars",
        "--lang=en-US",
        "--no-default-browser-check",
        "--no-first-run",
        "--force-device-scale-factor=1",
        &format!("--window-size={width},{height}"),
        &format!("--host-resolver-rules={hosts}"),
    ] {
        all.add_arg(argument)?;
    }
    #[cfg(unix)]
    if rustix::process::geteuid().is_root() {
        // The sandbox refuses to run as root.
        all.add_arg("--no-sandbox")?;
    }
    if !options.scripts {
        let block = json!({ "profile.managed_default_content_settings.javascript": 2 });
        all.add_experimental_option("prefs", block)?;
    }
    all.set("goog:loggingPrefs", json!({ "browser": "ALL" }))?;
    Ok(all)
}
