//! A session of the browser, and what the tests do with it.

use std::time::Duration;

use serde_json::{Value, json};
use thirtyfour::prelude::*;
use thirtyfour::{Key, WindowHandle};

use crate::driver::Driver;
use crate::options::{Options, SIZE, capabilities};

/// The time within which everything that a test waits for happens.
const PATIENCE: Duration = Duration::from_secs(30);

/// The interval at which the driver looks again.
const INTERVAL: Duration = Duration::from_millis(50);

/// The longest time of a test.
const LONGEST: Duration = Duration::from_secs(300);

/// Runs in every page before its own scripts: counts the scripts of hostile strings, which all call
/// `alert`.
const WATCH: &str = "
    window.hostileScripts = 0;
    window.alert = window.confirm = window.prompt = () => { window.hostileScripts += 1; };
";

/// A browser with a profile of its own.
#[derive(Debug)]
pub struct Browser {
    web: WebDriver,
}

/// Runs a test in a browser of its own, which ends with the test, however that ends.
///
/// # Panics
///
/// If the test panics or takes too long.
pub fn in_browser(options: Options, test: impl AsyncFnOnce(&Browser)) {
    let driver = Driver::required();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(bounded(async {
        let browser = Browser::open(&driver, options).await;
        test(&browser).await;
        browser.web.quit().await.expect("the session ends");
    }));
}

/// Makes a test that hangs fail instead.
#[allow(
    clippy::disallowed_methods,
    reason = "the guard against a hanging test must not depend on what is tested"
)]
async fn bounded(test: impl Future<Output = ()>) {
    tokio::time::timeout(LONGEST, test)
        .await
        .expect("the test hangs");
}

impl Browser {
    async fn open(driver: &Driver, options: Options) -> Self {
        let capabilities = capabilities(driver, options).expect("capabilities");
        let web = WebDriver::new(driver.url(), capabilities)
            .await
            .expect("the browser starts");
        // For axe on a crowded page of a busy machine.
        web.set_script_timeout(LONGEST).await.expect("a setting");
        let browser = Self { web };
        browser.prepare_tab().await;
        browser.prefer_dark(options.dark).await;
        browser
    }

    async fn prepare_tab(&self) {
        let watch = json!({ "source": WATCH });
        self.devtools("Page.addScriptToEvaluateOnNewDocument", watch)
            .await;
    }

    async fn devtools(&self, method: &str, parameters: Value) -> Value {
        let answer = self.web.cdp().send_raw(method, parameters).await;
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Sets whether the system is in dark mode.
    pub async fn prefer_dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open_page(&self, url: &str) {
        self.web
            .goto(url)
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// The address of the page.
    pub async fn address(&self) -> String {
        self.web.current_url().await.expect("an address").into()
    }

    /// Goes back in the history.
    pub async fn back(&self) {
        self.web.back().await.expect("a page before");
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        self.web.refresh().await.expect("the page");
    }

    /// Runs a script with these arguments and returns its result.
    pub async fn eval_with(&self, script: &str, arguments: Vec<Value>) -> Value {
        let result = self.web.execute(script, arguments).await;
        let result = result.unwrap_or_else(|error| panic!("{}: {error}", abridged(script)));
        result.json().clone()
    }

    /// Runs a script and returns its result.
    pub async fn eval(&self, script: &str) -> Value {
        self.eval_with(script, Vec::new()).await
    }

    /// Runs a script that hands its result to its last argument.
    pub async fn eval_async(&self, script: &str) -> Value {
        let result = self.web.execute_async(script, Vec::new()).await;
        let result = result.unwrap_or_else(|error| panic!("{}: {error}", abridged(script)));
        result.json().clone()
    }

    /// The result of a script that returns a text.
    pub async fn eval_text(&self, script: &str) -> String {
        let result = self.eval(script).await;
        let text = result.as_str();
        text.unwrap_or_else(|| panic!("{script}: {result}"))
            .to_owned()
    }

    /// The result of a script that returns a number.
    pub async fn eval_count(&self, script: &str) -> u64 {
        let result = self.eval(script).await;
        result
            .as_u64()
            .unwrap_or_else(|| panic!("{script}: {result}"))
    }

    /// The result of a script that returns texts.
    pub async fn eval_texts(&self, script: &str) -> Vec<String> {
        let result = self.eval(script).await;
        let Value::Array(texts) = result else {
            panic!("{script}: {result}");
        };
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        texts.iter().map(text).collect()
    }

    /// The number of elements that match.
    pub async fn count(&self, css: &str) -> u64 {
        let script = "return document.querySelectorAll(arguments[0]).length";
        let count = self.eval_with(script, vec![json!(css)]).await;
        count.as_u64().expect("a count")
    }

    /// The text of the only element that matches, as shown.
    pub async fn text(&self, css: &str) -> String {
        let script = "const all = document.querySelectorAll(arguments[0]);
             return all.length === 1 ? all[0].innerText : all.length";
        let text = self.eval_with(script, vec![json!(css)]).await;
        match text {
            Value::String(text) => text,
            count => panic!("{} has {count} elements {css}", self.address().await),
        }
    }

    /// The text of the page, as shown.
    pub async fn page_text(&self) -> String {
        self.text("body").await
    }

    /// Waits for an element that matches.
    pub async fn wait(&self, css: &str) {
        self.wait_by(By::Css(css), css).await;
    }

    /// Waits for an element with this XPath.
    pub async fn wait_path(&self, path: &str) {
        self.wait_by(By::XPath(path), path).await;
    }

    async fn wait_by(&self, by: By, name: &str) {
        let query = self.web.query(by).wait(PATIENCE, INTERVAL);
        let is_there = query.exists().await;
        assert!(
            is_there.unwrap_or_else(|error| panic!("{name}: {error}")),
            "{} has no {name}: {}",
            self.address().await,
            self.page_text().await
        );
    }

    /// Waits until no element matches.
    pub async fn wait_gone(&self, css: &str) {
        let query = self.web.query(By::Css(css)).wait(PATIENCE, INTERVAL);
        let is_gone = query.not_exists().await;
        assert!(
            is_gone.unwrap_or_else(|error| panic!("{css}: {error}")),
            "{} still has {css}",
            self.address().await
        );
    }

    /// Waits until the state of the live updates has this word.
    pub async fn wait_live(&self, word: &str) {
        self.wait_path(&format!("//*[@id='live'][contains(., '{word}')]"))
            .await;
    }

    /// Clicks the first element that matches.
    pub async fn click(&self, css: &str) {
        self.found(css).await.click().await.unwrap_or_else(|error| {
            panic!("{css}: {error}");
        });
    }

    /// Types into the field that matches, in place of its content.
    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.found(css).await;
        field.clear().await.expect("a field");
        field.send_keys(text).await.expect("a field");
    }

    async fn found(&self, css: &str) -> WebElement {
        let query = self.web.query(By::Css(css)).wait(PATIENCE, INTERVAL);
        match query.first().await {
            Ok(element) => element,
            Err(error) => panic!(
                "{}: {error}: {}",
                self.address().await,
                self.page_text().await
            ),
        }
    }

    /// Submits the form that has the element that matches, as its first button does.
    pub async fn submit(&self, css: &str) {
        self.click(&format!("{css} [type=submit], {css} button"))
            .await;
    }

    /// Presses a key, wherever the focus is.
    pub async fn press(&self, key: Key) {
        let chain = self.web.action_chain().key_down(key.clone()).key_up(key);
        chain.perform().await.expect("a key");
    }

    /// Types a text, wherever the focus is.
    pub async fn type_text(&self, text: &str) {
        let chain = self.web.action_chain().send_keys(text);
        chain.perform().await.expect("keys");
    }

    /// Presses Tab until the element with the focus matches.
    pub async fn tab_to(&self, css: &str) {
        let script = "return document.activeElement.matches(arguments[0])";
        for _ in 0..400 {
            self.press(Key::Tab).await;
            if self.eval_with(script, vec![json!(css)]).await == json!(true) {
                return;
            }
        }
        panic!("{}: Tab does not lead to {css}", self.address().await);
    }

    /// Opens a tab or a window, in front of all others.
    pub async fn new_tab(&self, as_window: bool) -> WindowHandle {
        let opened = if as_window {
            self.web.new_window().await
        } else {
            self.web.new_tab().await
        };
        let tab = opened.expect("a tab");
        self.show(&tab).await;
        self.prepare_tab().await;
        tab
    }

    /// The tab that commands go to.
    pub async fn tab(&self) -> WindowHandle {
        self.web.window().await.expect("a tab")
    }

    /// Sends commands to this tab, and brings it to the front.
    pub async fn show(&self, tab: &WindowHandle) {
        self.look_into(tab).await;
        self.devtools("Page.bringToFront", json!({})).await;
    }

    /// Sends commands to this tab, which stays behind the others.
    pub async fn look_into(&self, tab: &WindowHandle) {
        self.web
            .switch_to_window(tab.clone())
            .await
            .expect("the tab");
    }

    /// The names and attributes of all cookies, also those that scripts cannot read.
    pub async fn cookies(&self) -> Vec<Value> {
        let cookies = self.web.get_all_cookies().await.expect("cookies");
        let json = |cookie| serde_json::to_value(cookie).expect("a cookie");
        cookies.into_iter().map(json).collect()
    }

    /// Warnings and errors of the console since the last call, such as violations of the content
    /// security policy, failed requests and exceptions.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.web.browser_log().await.expect("the log");
        let is_complaint = |level: &str| matches!(level, "SEVERE" | "WARNING");
        log.into_iter()
            .filter(|entry| is_complaint(&entry.level))
            .map(|entry| entry.message)
            .collect()
    }

    /// Sets the size of the view, in pixels.
    pub async fn resize(&self, width: u32, height: u32) {
        let view =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", view)
            .await;
    }

    /// A picture of the page from its top, of at most this height, as PNG.
    pub async fn picture(&self, most: u32) -> Vec<u8> {
        let height = self
            .eval_count("return Math.ceil(document.documentElement.getBoundingClientRect().height)")
            .await;
        let height = u32::try_from(height).unwrap_or(most).min(most);
        self.resize(SIZE.0, height).await;
        let picture = self.web.screenshot_as_png().await.expect("a picture");
        self.devtools("Emulation.clearDeviceMetricsOverride", json!({}))
            .await;
        picture
    }
}

/// The beginning of a script, for messages.
fn abridged(script: &str) -> &str {
    &script[..script.floor_char_boundary(200)]
}
