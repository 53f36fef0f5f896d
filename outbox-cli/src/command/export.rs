//! `export`: events as JSON lines.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use outbox_operate::Pages;
use outbox_runtime::OutboxEvent;
use serde_json::json;

use crate::args;
use crate::database::Database;
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::Out;
use crate::progress::Progress;

pub(crate) async fn run(args: &args::Export, database: &Database, out: &mut Out) -> Outcome {
    let store = database.store();
    let filter = args.filter.at(store.clock().now());
    let mut pages = Pages::new(store, filter);
    let mut progress = Progress::new("exported");
    let mut file = args.file.as_deref().map(Target::create).transpose()?;
    while let Some(events) = pages.next().await? {
        let count = events.len() as u64;
        for mut event in events {
            // A fencing token is for nobody.
            event.lease_token = None;
            if args.without_payload {
                event.metadata = None;
                event.headers = event.headers.redacted();
            }
            match &mut file {
                Some(file) => file.write(&event)?,
                None => out.json(&event)?,
            }
        }
        progress.add(count);
    }
    let Some(file) = file else {
        return Ok(Verdict::Fine);
    };
    file.finish()?;
    let count = progress.count();
    match out.is_json {
        true => out.json(&json!({ "exported": count }))?,
        false => out.line(format!("{count} events exported"))?,
    }
    Ok(Verdict::Fine)
}

/// The file of an export.
struct Target {
    name: String,
    file: BufWriter<File>,
}

impl Target {
    /// Creates the file; an existing one is left alone, except a device.
    fn create(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let is_device = std::fs::metadata(path).is_ok_and(|file| !file.is_file());
        let opened = match is_device {
            true => File::options().write(true).open(path),
            false => File::create_new(path),
        };
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Failure::new(format!("{name} exists; export to another file"))
            }
            _ => Failure::new(format!("cannot create {name}: {error}")),
        })?;
        let file = BufWriter::with_capacity(1 << 16, file);
        Ok(Self { name, file })
    }

    fn write(&mut self, event: &OutboxEvent) -> Result<(), Failure> {
        let written = serde_json::to_writer(&mut self.file, event).map_err(io::Error::from);
        let written = written.and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|error| Failure::writing(&self.name, &error))
    }

    /// Writes the rest and waits for the disk: an export may be a backup.
    fn finish(self) -> Result<(), Failure> {
        let failed = |error: &io::Error| Failure::writing(&self.name, error);
        let file = self.file.into_inner();
        let file = file.map_err(|error| failed(error.error()))?;
        match file.sync_all() {
            // A device or a pipe has nothing to wait for.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced.map_err(|error| failed(&error)),
        }
    }
}
