//! The shop's database on a server.

use outbox_postgres_tests::Server;
use tokio_postgres::NoTls;

/// Creates a database of this name and its owner, the role `shop`, and returns its address for that
/// role.
///
/// The role is an ordinary one: neither the service nor the workers need more than to own their
/// tables. It must not be called like the schema of the outbox: the default `search_path` begins
/// with the schema of the role's name, so the shop's own tables would go there.
///
/// # Errors
///
/// If the server refuses.
pub async fn create_database(server: &Server, name: &str) -> anyhow::Result<String> {
    const ROLE: &str = "DO $$ BEGIN CREATE ROLE shop LOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$";
    let (client, connection) = server.config().connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    client.batch_execute(ROLE).await?;
    // A statement of its own, because it cannot run in a transaction.
    let create = format!("CREATE DATABASE {name} OWNER shop");
    client.batch_execute(&create).await?;
    drop(client);
    connection.await??;
    let port = server.config().get_ports().first().copied().unwrap_or(5432);
    Ok(format!("postgres://shop@127.0.0.1:{port}/{name}"))
}
