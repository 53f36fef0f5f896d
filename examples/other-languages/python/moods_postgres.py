"""Mood entries, written by Python into the PostgreSQL database whose outbox a Rust program
delivers.

    python moods_postgres.py postgresql://app@localhost/shop [SCHEMA]

Reads and answers the lines that moods_sqlite.py documents.
"""

import json
import sys
import uuid

import psycopg
from psycopg import sql

# The words fit: the type of the parameter takes their first letter.
ENQUEUE = """
SELECT {outbox}.enqueue(%(id)s, {outbox}.lane('e', %(user_id)s, %(entity_id)s),
    {outbox}.lane('e', %(user_id)s, %(entity_id)s), 'entity', %(event_type)s, %(operation)s,
    %(user_id)s, %(entity_id)s, %(priority)s, %(max_attempts)s, %(metadata)s, 1, 'hold', NULL,
    %(delay)s, NULL, NULL)
"""


def enqueue(db, outbox, event_type, operation, user_id, entity_id, metadata, *,
            event_id=None, priority=0, max_attempts=5, delay=0):
    """Enqueues in the open transaction. Returns the event's id, and whether it is new."""
    event_id = event_id or uuid.uuid4()
    found = db.execute(sql.SQL(ENQUEUE).format(outbox=sql.Identifier(outbox)), {
        "id": event_id,
        "user_id": str(user_id),
        "entity_id": str(entity_id),  # an int or a UUID finds no function
        "event_type": event_type,
        "operation": operation,
        # Text, not Json or Jsonb. NaN and Infinity are no JSON.
        "metadata": json.dumps(metadata, allow_nan=False),
        "priority": priority,
        "max_attempts": max_attempts,
        "delay": delay,  # microseconds
    })
    return event_id, found.fetchone()[0] == 1


def save(db, outbox, entry):
    """Saves an entry and enqueues the change: both, or neither."""
    with db.transaction():
        # The row first, then the event: the lock of the row gives the events of an entity the
        # order of the commits.
        if entry["score"] is None:
            found = db.execute(
                "DELETE FROM mood_entry WHERE id = %s RETURNING revision + 1", (entry["id"],))
        else:
            found = db.execute(
                "INSERT INTO mood_entry (id, person, score, note, revision)"
                " VALUES (%s, %s, %s, %s, 1)"
                " ON CONFLICT (id) DO UPDATE SET score = excluded.score, note = excluded.note,"
                " revision = mood_entry.revision + 1 RETURNING revision",
                (entry["id"], entry["user"], entry["score"], entry["note"]))
        revision = (found.fetchone() or (1,))[0]
        operation = "delete" if entry["score"] is None else "create" if revision == 1 else "update"
        metadata = {"score": entry["score"], "note": entry["note"], "revision": revision}
        event_id = uuid.UUID(entry["event"]) if "event" in entry else None
        return enqueue(db, outbox, "moodEntry", operation, entry["user"], entry["id"], metadata,
                       event_id=event_id, priority=3)


def main():
    outbox = sys.argv[2] if len(sys.argv) > 2 else "outbox"
    # autocommit: only `transaction()` begins one; by default the first statement does, and it stays
    # open. No prepared statements: behind PgBouncer another client may have the server next.
    with psycopg.connect(sys.argv[1], autocommit=True, prepare_threshold=None) as db:
        print(json.dumps({"ready": "psycopg"}), flush=True)
        for line in sys.stdin:
            try:
                event_id, written = save(db, outbox, json.loads(line))
                answer = {"event": str(event_id), "written": written}
            except psycopg.Error as error:
                answer = {"error": str(error)}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
