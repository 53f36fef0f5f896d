//! A driver under test whose transactions begin and end by statements.

/// Defines a driver under test for `outbox_testing::sink_conformance!`: a connection of rusqlite,
/// or a pointer to one, whose transactions and savepoints begin and end by statements.
/// `sink_by_statements!(OnPooled(Pooled))` defines `OnPooled` for the type `Pooled`, and `Open` for
/// its transactions.
#[macro_export]
macro_rules! sink_by_statements {
    ($driver:ident($conn:ty)) => {
        /// Statements begin and end the transactions of the connection.
        struct $driver($conn);

        /// A transaction or a savepoint, and how each ends.
        struct Open<'c> {
            conn: &'c $conn,
            keep: &'static str,
            undo: &'static str,
        }

        #[::async_trait::async_trait(?Send)]
        impl ::outbox_testing::SinkUnderTest for $driver {
            async fn begin<'t>(
                &'t mut self,
                to_write: bool,
            ) -> Result<
                Box<dyn ::outbox_testing::SinkTransaction + 't>,
                ::outbox_runtime::store::BoxError,
            > {
                self.0.execute_batch(match to_write {
                    true => "BEGIN IMMEDIATE",
                    false => "BEGIN",
                })?;
                Ok(Box::new(Open {
                    conn: &self.0,
                    keep: "COMMIT",
                    undo: "ROLLBACK",
                }))
            }

            fn can_become_stale(&self) -> bool {
                true
            }
        }

        ::outbox_testing::sink_transaction! { sync Open<'_>:
            sink |this| this.conn;
            read |this| this.conn.query_row("SELECT count(*) FROM outbox_events", [], |_| Ok(()))?;
            savepoint |this| {
                this.conn.execute_batch("SAVEPOINT mine")?;
                Open {
                    conn: this.conn,
                    keep: "RELEASE mine",
                    undo: "ROLLBACK TO mine; RELEASE mine",
                }
            };
            end |this, commits| {
                this.conn.execute_batch(if commits { this.keep } else { this.undo })?;
            };
        }
    };
}
