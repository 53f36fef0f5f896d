//! `completions` and `man`: written to a buffer first, because their generators panic on a closed
//! pipe.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::Out;

pub(crate) fn completions(shell: Shell, out: &mut Out) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "outbox", &mut script);
    out.bytes(&script)?;
    Ok(Verdict::Fine)
}

pub(crate) fn man(command: Option<&str>, out: &mut Out) -> Outcome {
    let mut cli = Cli::command();
    cli.build();
    let page = match command {
        None => cli,
        Some(name) => {
            let found = cli.find_subcommand(name).cloned();
            let found =
                found.ok_or_else(|| Failure::new(format!("there is no command {name:?}")))?;
            // The page of a command is found under `outbox-NAME`, like those of git.
            found.name(format!("outbox-{name}"))
        }
    };
    let mut text = Vec::new();
    let rendered = clap_mangen::Man::new(page).render(&mut text);
    rendered.map_err(|error| Failure::new(format!("cannot render the page: {error}")))?;
    out.bytes(&text)?;
    Ok(Verdict::Fine)
}
