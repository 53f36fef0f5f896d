//! The arguments of a contestant.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A workload and its place.
#[derive(Debug, Clone, Parser)]
pub struct Order {
    /// Directory of the queue's files, or the address of its database.
    pub folder: PathBuf,
    /// Time limit, in seconds: a slow contestant stops early and reports what it has done.
    #[arg(long, default_value_t = 20)]
    pub limit: u64,
    /// The workload.
    #[command(subcommand)]
    pub workload: Workload,
}

/// What a contestant does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Workload {
    /// Enqueues events one by one: each producer waits for the commit of its event before it makes
    /// the next one.
    Enqueue {
        /// Number of tasks that enqueue.
        #[arg(long)]
        producers: usize,
        /// Number of events, over all producers.
        #[arg(long)]
        events: usize,
    },
    /// One producer enqueues batches, each in one commit.
    Batches {
        /// Events per batch.
        #[arg(long)]
        size: usize,
        /// Number of events, over all batches.
        #[arg(long)]
        events: usize,
    },
    /// Delivers a backlog that `batches` left, until the last outcome is committed.
    Drain(Handlers),
    /// Time from the call that enqueues to the start of the handler, on an idle queue.
    Latency {
        /// Number of events.
        #[arg(long)]
        samples: usize,
    },
}

/// Arguments of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Handlers {
    /// Maximum number of handlers at a time.
    #[arg(long, default_value_t = 16)]
    pub handlers: usize,
}

impl Order {
    /// The arguments of a program that runs this order.
    #[must_use]
    pub fn to_arguments(&self) -> Vec<std::ffi::OsString> {
        let mut arguments = vec![
            self.folder.clone().into_os_string(),
            "--limit".into(),
            self.limit.to_string().into(),
        ];
        let (name, values) = match self.workload {
            Workload::Enqueue { producers, events } => (
                "enqueue",
                vec![("--producers", producers), ("--events", events)],
            ),
            Workload::Batches { size, events } => {
                ("batches", vec![("--size", size), ("--events", events)])
            }
            Workload::Drain(Handlers { handlers }) => ("drain", vec![("--handlers", handlers)]),
            Workload::Latency { samples } => ("latency", vec![("--samples", samples)]),
        };
        arguments.push(name.into());
        for (flag, value) in values {
            arguments.push(flag.into());
            arguments.push(value.to_string().into());
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contestant_reads_the_order_that_it_was_given() {
        for workload in [
            Workload::Enqueue {
                producers: 64,
                events: 20_000,
            },
            Workload::Batches {
                size: 1_000,
                events: 40_000,
            },
            Workload::Drain(Handlers { handlers: 16 }),
            Workload::Latency { samples: 300 },
        ] {
            let order = Order {
                folder: "some/place".into(),
                limit: 7,
                workload,
            };
            let arguments = order.to_arguments();
            let read =
                Order::try_parse_from([std::ffi::OsString::new()].into_iter().chain(arguments));
            let read = read.expect("the arguments are valid");
            assert_eq!(
                (read.folder, read.limit, read.workload),
                (order.folder, order.limit, order.workload)
            );
        }
    }
}
