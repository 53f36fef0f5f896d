//! Signing in, and out with a decision about undelivered events.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use outbox_runtime::{Processor, SignOut, SignedOut};

use super::Ground;
use crate::ids::UserId;

/// `sign-in`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct SignIn {
    /// The e-mail address of the account
    #[arg(long, value_name = "ADDRESS", env = "FITIQ_EMAIL")]
    pub email: String,

    /// The password; prefer the environment variable, which others cannot see
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "FITIQ_PASSWORD",
        hide_env_values = true
    )]
    pub password: String,
}

/// `sign-out`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct SignOutArguments {
    /// What to do with undelivered events
    #[arg(long, value_enum, default_value_t = Leave::Drain)]
    pub undelivered: Leave,

    /// For `drain`: the longest time to deliver, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub within: u64,

    /// For `export`: the new file
    #[arg(long, value_name = "FILE", required_if_eq("undelivered", "export"))]
    pub file: Option<PathBuf>,
}

/// The fate of undelivered events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum Leave {
    /// Deliver as much as possible; the rest waits for the user's return
    Drain,
    /// Delete them
    Abandon,
    /// Write them to a file, then delete them
    Export,
}

impl SignOutArguments {
    fn how(&self) -> anyhow::Result<SignOut> {
        Ok(match (self.undelivered, &self.file) {
            (Leave::Drain, _) => SignOut::Drain {
                deadline: Duration::from_secs(self.within),
            },
            (Leave::Abandon, _) => SignOut::Abandon,
            (Leave::Export, Some(file)) => SignOut::Export(file.clone()),
            (Leave::Export, None) => anyhow::bail!("export needs --file"),
        })
    }
}

/// Signs in, and prints the account.
///
/// # Errors
///
/// [`SessionError`](crate::SessionError).
pub async fn sign_in(ground: &Ground, arguments: &SignIn) -> anyhow::Result<UserId> {
    let session = ground.session();
    let signed_in = session.sign_in(&arguments.email, &arguments.password).await;
    signed_in.with_context(|| format!("nobody is signed in at {}", session.service().base()))
}

/// A user id that no account has.
const NOBODY: &str = "(nobody)";

/// Signs out of the outbox first, which needs the tokens for a drain, and then of the session.
///
/// # Errors
///
/// If nobody is signed in, if the file exists already, and errors of the store. Nothing is deleted
/// then.
pub async fn sign_out(
    ground: &Ground,
    processor: &Processor,
    arguments: &SignOutArguments,
) -> anyhow::Result<SignedOut> {
    let user = ground.user()?;
    let how = arguments.how()?;
    // Only a drain delivers. A run of the user could deliver an event before it learns of the
    // sign-out, so the other ways use a run that has nothing to deliver.
    let running = match how {
        SignOut::Drain { .. } => processor.start(user.clone()),
        _ => processor.start(NOBODY),
    };
    let left = running.sign_out(user, how).await;
    running.stop().await?;
    let left = left?;
    ground.session().sign_out().await?;
    Ok(left)
}
