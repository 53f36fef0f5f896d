//! `doctor`: what is wrong, and the command that mends it.

use outbox_operate::{Mended, Outbox, clean, command_of, examine, mend};
use outbox_runtime::store::{CheckDepth, Finding, Remedy, Severity};
use serde::Serialize;

use crate::args;
use crate::database::{Database, Place};
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::{Out, Tone};
use crate::progress::waiting;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    outbox: String,
    findings: Vec<Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<Mended>,
}

#[derive(Debug, Serialize)]
struct Found {
    subject: &'static str,
    severity: &'static str,
    message: String,
    /// The command that mends it.
    command: Option<String>,
    advice: Option<String>,
}

pub(crate) async fn run(
    args: &args::Doctor,
    place: &Place,
    database: &Database,
    out: &mut Out,
) -> Outcome {
    let depth = match args.quick {
        true => CheckDepth::Quick,
        false => CheckDepth::Full,
    };
    let store = database.store();
    let repaired = match args.repair {
        true => Some(waiting("repairing", mend(&*store)).await?),
        false => None,
    };
    let outbox = place.outbox();
    let findings = waiting("checking", examine(&*store, &outbox, depth)).await?;
    let is_to_look_at = findings.iter().any(|it| it.severity > Severity::Notice);
    let answer = Answer {
        outbox: place.name(),
        findings: findings.into_iter().map(|it| found(it, &outbox)).collect(),
        repaired,
    };
    match out.is_json {
        true => out.json(&answer)?,
        false => print(&answer, out)?,
    }
    Ok(Verdict::look_at(is_to_look_at))
}

fn found(finding: Finding, outbox: &Outbox) -> Found {
    Found {
        subject: finding.subject.as_str(),
        severity: finding.severity.as_str(),
        command: command_of(&finding, outbox),
        message: finding.message,
        advice: match finding.remedy {
            Some(Remedy::Advice(advice)) => Some(advice),
            _ => None,
        },
    }
}

fn print(answer: &Answer, out: &mut Out) -> Result<(), Failure> {
    if let Some(mended) = &answer.repaired {
        out.line(format!(
            "repaired: {} lanes, {} counts, {} events rescued",
            mended.lanes, mended.blocks, mended.rescued
        ))?;
    }
    for found in &answer.findings {
        let tone = match found.severity {
            "fault" => Tone::Bad,
            "warning" => Tone::Unsure,
            _ => Tone::Faint,
        };
        let severity = out.tone(tone, found.severity, 8);
        out.line(format!(
            "{severity} {:<12} {}",
            found.subject,
            clean(&found.message)
        ))?;
        let remedy = found.command.as_ref().or(found.advice.as_ref());
        if let Some(remedy) = remedy {
            out.line(format!("{:21} → {}", "", clean(remedy)))?;
        }
    }
    if answer.findings.is_empty() {
        out.line(out.tone(Tone::Good, "nothing is wrong", 0))?;
    }
    Ok(())
}
