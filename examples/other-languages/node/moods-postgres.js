// Mood entries, written by Node.js into the PostgreSQL database whose outbox a Rust program
// delivers.
//
//     node moods-postgres.js postgresql://app@localhost/shop [SCHEMA]
//
// Reads and answers the lines that moods-sqlite.js documents.
'use strict';

const { randomUUID } = require('node:crypto');
const { createInterface } = require('node:readline');
const pg = require('pg');

const [url, outbox = 'outbox'] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString: url });
const schema = pg.escapeIdentifier(outbox);

// The words fit: the type of the parameter takes their first letter.
const ENQUEUE = `
  SELECT ${schema}.enqueue($1, ${schema}.lane('e', $2, $3), ${schema}.lane('e', $2, $3), 'entity',
    $4, $5, $2, $3, $6, $7, $8, 1, 'hold', NULL, $9, NULL, NULL) AS written`;

// Enqueues in the transaction that is open on the client. Returns the event's id, and whether it is
// new.
async function enqueue(client, eventType, operation, userId, entityId, metadata, options = {}) {
  const { id = randomUUID(), priority = 0, maxAttempts = 5, delay = 0 } = options;
  const { rows } = await client.query(ENQUEUE, [
    id,
    String(userId),
    String(entityId), // 1e21 would become "1e+21", undefined NULL
    eventType,
    operation,
    priority,
    maxAttempts,
    JSON.stringify(metadata), // an array that is passed as it is becomes "{1,2}"
    delay, // microseconds
  ]);
  // A bigint comes as a string.
  return { event: id, written: rows[0].written === '1' };
}

// Runs `work` in a transaction. All its statements go to one client: each `pool.query` may take
// another one, outside of the transaction.
async function transaction(work) {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    client.release();
    return result;
  } catch (error) {
    // A connection that cannot even roll back is closed rather than used again.
    const lost = await client.query('ROLLBACK').then(() => false, () => true);
    client.release(lost);
    throw error;
  }
}

// Saves an entry and enqueues the change: both, or neither.
function save(entry) {
  return transaction(async (client) => {
    // The row first, then the event: the lock of the row gives the events of an entity the order of
    // the commits.
    const { rows } =
      entry.score === null
        ? await client.query(
            'DELETE FROM mood_entry WHERE id = $1 RETURNING revision + 1 AS revision',
            [entry.id],
          )
        : await client.query(
            `INSERT INTO mood_entry (id, person, score, note, revision) VALUES ($1, $2, $3, $4, 1)
             ON CONFLICT (id) DO UPDATE SET score = excluded.score, note = excluded.note,
               revision = mood_entry.revision + 1
             RETURNING revision`,
            [entry.id, entry.user, entry.score, entry.note],
          );
    const revision = rows[0]?.revision ?? 1;
    const operation = entry.score === null ? 'delete' : revision === 1 ? 'create' : 'update';
    const metadata = { score: entry.score, note: entry.note, revision };
    return enqueue(client, 'moodEntry', operation, entry.user, entry.id, metadata, {
      id: entry.event,
      priority: 3,
    });
  });
}

async function main() {
  console.log(JSON.stringify({ ready: 'pg' }));
  for await (const line of createInterface({ input: process.stdin })) {
    let answer;
    try {
      answer = await save(JSON.parse(line));
    } catch (error) {
      if (!(error instanceof pg.DatabaseError)) throw error;
      answer = { error: error.message };
    }
    console.log(JSON.stringify(answer));
  }
  await pool.end();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
