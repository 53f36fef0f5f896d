//! The tables of the shop. The outbox has its tables in a schema of its own.

use deadpool_postgres::Object;

use super::ShopError;

/// Each entity has a `revision` that counts its changes from 1 and goes out with each event, so
/// that a receiver can tell an old state from a new one. Stock starts with 0: goods on sale, before
/// any change.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS customers (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    orders      bigint NOT NULL CHECK (orders >= 0),
    spent_cents bigint NOT NULL CHECK (spent_cents >= 0),
    revision    bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS stock (
    -- The SKU becomes part of a subject of the broker, where a dot or a space has a meaning.
    sku         text PRIMARY KEY CHECK (sku ~ '^[A-Z0-9-]+$'),
    unit_cents  bigint NOT NULL CHECK (unit_cents > 0),
    available   bigint NOT NULL CHECK (available >= 0),
    revision    bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS orders (
    id          uuid PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES customers,
    status      text NOT NULL CHECK (status IN ('placed', 'paid', 'canceled')),
    total_cents bigint NOT NULL CHECK (total_cents > 0),
    revision    bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS order_lines (
    order_id    uuid NOT NULL REFERENCES orders,
    sku         text NOT NULL REFERENCES stock,
    quantity    bigint NOT NULL CHECK (quantity > 0),
    unit_cents  bigint NOT NULL,
    PRIMARY KEY (order_id, sku)
);
CREATE TABLE IF NOT EXISTS stock_changes (
    sku         text NOT NULL REFERENCES stock,
    revision    bigint NOT NULL,
    order_id    uuid NOT NULL REFERENCES orders,
    change      bigint NOT NULL CHECK (change <> 0),
    available   bigint NOT NULL,
    PRIMARY KEY (sku, revision)
);
";

/// Any number will do that no other program uses on this database.
const LOCK: i64 = 0x0073_686f_7000;

/// Creates the tables that do not exist yet; several processes may do so at once.
pub(super) async fn create(connection: &mut Object) -> Result<(), ShopError> {
    let tx = connection.transaction().await?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
        .await?;
    tx.batch_execute(TABLES).await?;
    tx.commit().await?;
    Ok(())
}
