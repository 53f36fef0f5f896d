// Mood entries, written by Node.js into the SQLite file whose outbox a Rust program delivers.
//
//     node moods-sqlite.js app.db
//
// Each line of standard input is an entry as JSON, {"id", "user", "score", "note"}; a score of null
// deletes it. "event" may name the event's id, so that a change can be repeated. Each line is
// answered with {"event", "written"} after its commit, or with {"error"} and no trace of it.
'use strict';

const { randomBytes } = require('node:crypto');
const { createInterface } = require('node:readline');
const Database = require('better-sqlite3');

const CREATE = 0;
const UPDATE = 1;
const DELETE = 2;

// Before it, several connections to a WAL database can damage it.
const OLDEST_SQLITE = [3, 51, 3];

const db = new Database(process.argv[2], { fileMustExist: true, timeout: 5000 });
const found = db.prepare('SELECT sqlite_version()').pluck().get();
const [differs] = found
  .split('.')
  .map((part, at) => Number(part) - OLDEST_SQLITE[at])
  .filter((difference) => difference !== 0);
if (differs < 0) {
  console.error(`better-sqlite3 has SQLite ${found}; 3.51.3 or newer is needed (npm update)`);
  process.exit(1);
}
// better-sqlite3 is built with NORMAL for WAL databases, which may lose the last commits in a power
// failure.
db.pragma('synchronous = FULL');

const insert = db.prepare(`
  INSERT INTO outbox_events
    (id, user_id, entity_id, event_type, operation, metadata, metadata_version,
     priority, max_attempts, created_at, next_attempt_at)
  VALUES (@id, @userId, @entityId, @eventType, @operation, @metadata, 1,
     @priority, @maxAttempts, @now, @now + @delay)
  ON CONFLICT (id) DO NOTHING`);

// A UUID whose beginning is the time, so that new events are at the end of the index.
function uuid7() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  return bytes;
}

const toBytes = (uuid) => Buffer.from(uuid.replaceAll('-', ''), 'hex');
const toText = (bytes) =>
  bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');

// Enqueues in the open transaction. Returns the event's id, and whether it is new.
function enqueue(eventType, operation, userId, entityId, metadata, options = {}) {
  const { id = uuid7(), priority = 0, maxAttempts = 5, delay = 0n } = options;
  const { changes } = insert.run({
    id, // 16 bytes, not the text
    userId: String(userId),
    // Every number is bound as REAL, so 7 would become the text "7.0", an entity of its own.
    entityId: String(entityId),
    eventType,
    operation,
    metadata: JSON.stringify(metadata),
    priority,
    maxAttempts,
    now: BigInt(Date.now()) * 1000n, // microseconds
    delay,
  });
  return { event: toText(id), written: changes === 1 };
}

const find = db.prepare('SELECT revision FROM mood_entry WHERE id = ?').pluck();
const remove = db.prepare('DELETE FROM mood_entry WHERE id = ?');
const upsert = db.prepare(`
  INSERT INTO mood_entry (id, person, score, note, revision) VALUES (?, ?, ?, ?, ?)
  ON CONFLICT (id) DO UPDATE SET score = excluded.score, note = excluded.note,
    revision = excluded.revision`);

// Saves an entry and enqueues the change: both, or neither. A function with `await` would not do:
// its transaction would be over at the first one.
const save = db.transaction((entry) => {
  const known = find.get(entry.id);
  const revision = (known ?? 0) + 1;
  let operation = DELETE;
  if (entry.score === null) {
    remove.run(entry.id);
  } else {
    operation = known === undefined ? CREATE : UPDATE;
    upsert.run(entry.id, entry.user, entry.score, entry.note, revision);
  }
  const metadata = { score: entry.score, note: entry.note, revision };
  const id = entry.event === undefined ? uuid7() : toBytes(entry.event);
  return enqueue('moodEntry', operation, entry.user, entry.id, metadata, { id, priority: 3 });
});

console.log(JSON.stringify({ ready: 'better-sqlite3' }));
createInterface({ input: process.stdin }).on('line', (line) => {
  let answer;
  try {
    // IMMEDIATE, because a transaction that reads first could not become a writer later if another
    // connection had committed meanwhile: SQLITE_BUSY at once, whatever the timeout.
    answer = save.immediate(JSON.parse(line));
  } catch (error) {
    if (!(error instanceof Database.SqliteError)) throw error;
    answer = { error: error.message };
  }
  console.log(JSON.stringify(answer));
});
