//! Violations of WCAG, found by axe-core.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::browser::Browser;
use crate::driver::missing;

/// The folder of the npm package, or one that holds it in `node_modules`.
const FOLDER: &str = "OUTBOX_AXE";

/// WCAG 2.2 at levels A and AA, and axe's best practices.
const RULES: &str = r#"["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]"#;

/// Whether a test has said that it is missing.
static SAID: AtomicBool = AtomicBool::new(false);

/// The text of axe-core.
pub struct Axe(String);

impl std::fmt::Debug for Axe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Axe({} bytes)", self.0.len())
    }
}

impl Axe {
    /// Reads it; `None`, and one line that says so, where it is not there.
    ///
    /// # Panics
    ///
    /// If it is not there and must be.
    #[must_use]
    pub fn installed() -> Option<Self> {
        let folder = std::env::var_os(FOLDER).map(PathBuf::from);
        let files = ["axe.min.js", "node_modules/axe-core/axe.min.js"];
        let text = folder.and_then(|folder| {
            let mut files = files.iter().map(|file| folder.join(file));
            files.find_map(|file| std::fs::read_to_string(file).ok())
        });
        if text.is_none() {
            let is_first = !SAID.swap(true, Ordering::Relaxed);
            missing(
                "axe-core (npm install axe-core), in the folder OUTBOX_AXE",
                is_first,
            );
        }
        text.map(Self)
    }

    /// The faults of the page as lines. An element that axe cannot judge is a fault, too.
    pub async fn faults(&self, browser: &Browser) -> Vec<String> {
        browser.eval(&self.0).await;
        let script = format!(
            "const done = arguments[arguments.length - 1];
             const options = {{ runOnly: {{ type: 'tag', values: {RULES} }} }};
             const of = (kind) => (rule) => rule.nodes.map((node) =>
                 `${{kind}} ${{rule.id}} (${{rule.help}}): ${{node.target.join(' ')}}: ${{node.html.slice(0, 160)}}: `
                 + [...node.any, ...node.all, ...node.none].map((it) => it.message).join('; '));
             axe.run(document, options).then(
                 (found) => done(found.violations.flatMap(of('violation'))
                     .concat(found.incomplete.flatMap(of('incomplete')))),
                 (error) => done([String(error)]));"
        );
        let found = browser.eval_async(&script).await;
        let Value::Array(found) = found else {
            panic!("axe answered {found}");
        };
        let line = |fault: &Value| fault.as_str().unwrap_or_default().to_owned();
        found.iter().map(line).collect()
    }
}
