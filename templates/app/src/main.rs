//! Saves notes, and delivers each change to a service.

mod notes; // the entity, and its table
mod sync; // the handler, and the processor

use std::env;

use anyhow::bail;
use outbox_runtime::prelude::*;

use crate::notes::Notes;
use crate::sync::Service;

/// The only user of this program.
const USER: &str = "ada";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let store = SqliteStore::open("app.db").await?;
    let notes = Notes::open(&store).await?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["add", text] => {
            let id = notes.add(USER, text).await?;
            println!("note {id} is saved");
        }
        [] => deliver(&store).await?,
        _ => bail!("usage: add TEXT, or nothing to deliver"),
    }
    store.close().await;
    Ok(())
}

/// Delivers until Ctrl-C.
async fn deliver(store: &SqliteStore) -> anyhow::Result<()> {
    let url = env::var("SERVICE_URL").unwrap_or_else(|_| "http://127.0.0.1:8080".to_owned());
    let service = Service::new(&url)?;
    let running = sync::processor(store, service)?.start_all_users();
    println!("delivers to {url}; Ctrl-C ends it");
    tokio::signal::ctrl_c().await?;
    running.stop().await?;
    Ok(())
}
