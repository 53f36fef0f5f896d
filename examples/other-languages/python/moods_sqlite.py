"""Mood entries, written by Python into the SQLite file whose outbox a Rust program delivers.

    python moods_sqlite.py app.db [sqlite3 | apsw]

Each line of standard input is an entry as JSON, {"id", "user", "score", "note"}; a score of null
deletes it. "event" may name the event's id, so that a change can be repeated. Each line is answered
with {"event", "written"} after its commit, or with {"error"} and no trace of it in the file.
"""

import json
import secrets
import sqlite3
import sys
import time
import uuid
from contextlib import contextmanager

try:
    import apsw  # https://rogerbinns.github.io/apsw: the same statements, on a SQLite of its own
except ImportError:
    apsw = None

# Before it, several connections to a WAL database can corrupt it; before 3.43 the table cannot be
# written at all ("unknown function: octet_length()").
OLDEST_SQLITE = (3, 51, 3)
CREATE, UPDATE, DELETE = 0, 1, 2
ERRORS = (sqlite3.Error, apsw.Error) if apsw else (sqlite3.Error,)

ENQUEUE = """
INSERT INTO outbox_events
    (id, user_id, entity_id, event_type, operation, metadata, metadata_version,
     priority, max_attempts, created_at, next_attempt_at)
VALUES (:id, :user_id, :entity_id, :event_type, :operation, :metadata, 1,
     :priority, :max_attempts, :now, :now + :delay)
ON CONFLICT (id) DO NOTHING
"""


def connect(path, driver):
    if driver == "apsw":
        db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
        db.set_busy_timeout(5_000)
    else:
        # None: no BEGIN that the module adds by rules of its own, which differ by version.
        db = sqlite3.connect(path, timeout=5, isolation_level=None)
    found = db.execute("SELECT sqlite_version()").fetchone()[0]
    if tuple(map(int, found.split("."))) < OLDEST_SQLITE:
        sys.exit(f"{driver} has SQLite {found}; 3.51.3 or newer is needed (pip install apsw)")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    return db


@contextmanager
def transaction(db):
    # IMMEDIATE, because a transaction that reads first could not become a writer later if another
    # connection had committed meanwhile: SQLITE_BUSY at once, whatever the timeout.
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # Also after a COMMIT that failed: the transaction is still open then.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def uuid7():
    """A UUID whose beginning is the time, so that new events are at the end of the index."""
    millis = time.time_ns() // 1_000_000
    high = millis << 16 | 7 << 12 | secrets.randbits(12)
    low = 2 << 62 | secrets.randbits(62)
    return uuid.UUID(int=high << 64 | low)


def enqueue(db, event_type, operation, user_id, entity_id, metadata, *,
            event_id=None, priority=0, max_attempts=5, delay=0):
    """Enqueues in the open transaction. Returns the event's id, and whether it is new."""
    event_id = event_id or uuid7()
    db.execute(ENQUEUE, {
        "id": event_id.bytes,  # 16 bytes, not the text
        "user_id": str(user_id),
        "entity_id": str(entity_id),  # text: a number with a fraction would become "7.0"
        "event_type": event_type,
        "operation": operation,
        # NaN and Infinity are no JSON.
        "metadata": json.dumps(metadata, allow_nan=False),
        "priority": priority,
        "max_attempts": max_attempts,
        "now": time.time_ns() // 1_000,  # microseconds
        "delay": delay,
    })
    return event_id, db.execute("SELECT changes()").fetchone()[0] == 1


def save(db, entry):
    """Saves an entry and enqueues the change: both, or neither."""
    with transaction(db):
        found = db.execute("SELECT revision FROM mood_entry WHERE id = ?", (entry["id"],))
        known = found.fetchone()
        revision = (known[0] if known else 0) + 1
        if entry["score"] is None:
            operation = DELETE
            db.execute("DELETE FROM mood_entry WHERE id = ?", (entry["id"],))
        else:
            operation = UPDATE if known else CREATE
            db.execute(
                "INSERT INTO mood_entry (id, person, score, note, revision) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET score = excluded.score, note = excluded.note,"
                " revision = excluded.revision",
                (entry["id"], entry["user"], entry["score"], entry["note"], revision))
        metadata = {"score": entry["score"], "note": entry["note"], "revision": revision}
        event_id = uuid.UUID(entry["event"]) if "event" in entry else None
        return enqueue(db, "moodEntry", operation, entry["user"], entry["id"], metadata,
                       event_id=event_id, priority=3)


def main():
    driver = sys.argv[2] if len(sys.argv) > 2 else "apsw" if apsw else "sqlite3"
    if driver == "apsw" and not apsw:
        sys.exit("apsw is not installed")
    db = connect(sys.argv[1], driver)
    print(json.dumps({"ready": driver}), flush=True)
    for line in sys.stdin:
        try:
            event_id, written = save(db, json.loads(line))
            answer = {"event": str(event_id), "written": written}
        except ERRORS as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
