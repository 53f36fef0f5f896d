//! Findings, each with the command that mends it, and clean-up.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use outbox_operate::{clean, command_of, examine, held, unhandled};
use outbox_runtime::store::{CheckDepth, Finding, Remedy, Severity};

use super::frame::Frame;
use crate::respond;
use crate::stores::Store;
use crate::trouble::Trouble;
use crate::visit::Visit;

#[derive(Template)]
#[template(path = "maintenance.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    is_full: bool,
    full: String,
    cleanup: String,
}

struct Row {
    severity: &'static str,
    tone: &'static str,
    subject: &'static str,
    message: String,
    command: Option<String>,
    advice: Option<String>,
}

pub(crate) async fn show(visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let outbox = &visit.app.settings.outbox;
    let is_full = visit.query.get("check") == Some("full");
    let findings = if is_full {
        // It reads the whole database: one at a time.
        let busy = || Trouble::Conflict("Another thorough check is under way.".to_owned());
        let _place = visit.app.check.try_acquire().map_err(|_| busy())?;
        examine(&**store, outbox, CheckDepth::Full).await?
    } else {
        let mut findings = examine(&**store, outbox, CheckDepth::Quick).await?;
        findings.extend(unhandled(&**store).await?);
        findings.extend(held(&**store).await?);
        findings
    };
    let row = |finding: &Finding| Row {
        severity: finding.severity.as_str(),
        tone: match finding.severity {
            Severity::Fault => "bad",
            Severity::Warning => "unsure",
            _ => "plain",
        },
        subject: finding.subject.as_str(),
        message: clean(&finding.message).into_owned(),
        command: command_of(finding, outbox).map(|command| clean(&command).into_owned()),
        advice: match &finding.remedy {
            Some(Remedy::Advice(advice)) => Some(clean(advice).into_owned()),
            _ => None,
        },
    };
    let frame = Frame::of(visit, "Maintenance");
    let page = Page {
        // A thorough check is not repeated by itself.
        frame: if is_full { frame.still() } else { frame },
        rows: findings.iter().map(row).collect(),
        is_full,
        full: visit.links.with("/maintenance", [("check", "full")]),
        cleanup: visit.links.to("/cleanup"),
    };
    respond::page(StatusCode::OK, &page)
}
