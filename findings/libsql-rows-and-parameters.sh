#!/usr/bin/env bash
# libsql for Node.js adds a duration to each row that `get` reads, and binds NULL for a value that
# is missing.
#
# Installs: libsql 0.5.29 from npm, whose binary comes as a package (@libsql/linux-x64-gnu). Needs
# node and npm, on x86-64 Linux with glibc.
#
# Expected: the README says that these bindings aim to be compatible with better-sqlite3. There a
# row has the columns of the query and nothing else, and a statement that gets fewer or more values
# than it has parameters throws a RangeError. The reference (docs/api.md of tursodatabase/libsql-js)
# says that `get` "returns the first row", and does not mention either behavior.
#
# What happens:
# - A row of `get`, RETURNING included, has a property `_metadata: { duration: .. }`, which is
#   enumerable: Object.keys, JSON.stringify and a spread have it. The same row by `all` or `iterate`
#   does not.
# - A missing value, positional or named, is NULL. An INSERT with a forgotten value succeeds where
#   the column may be NULL; so does one with a misspelled name in its object. A value too many is
#   ignored.
#
# Why it matters: an outbox takes events from other programs by an INSERT with many values, some of
# them optional. With one forgotten, the event goes in with NULL in its place, instead of not at
# all. And a row that is read by `get` and written as an event's payload carries a time that differs
# at every reading: enqueued again under the same id, after a commit whose answer was lost, it is
# another content, which is a conflict instead of a repetition. `all(..)[0]` has the row alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts --save-exact libsql@0.5.29
cat >check.js <<'JS'
const assert = require("node:assert");
const { readFileSync } = require("node:fs");
const Database = require("libsql");

const manifest = JSON.parse(readFileSync("node_modules/libsql/package.json", "utf8"));
console.log("libsql", manifest.version);
const db = new Database(":memory:");
db.exec("CREATE TABLE event (id INTEGER PRIMARY KEY, payload TEXT NOT NULL, destination TEXT)");
const insert = "INSERT INTO event (payload, destination) VALUES (?, ?)";
const rows = () => db.prepare("SELECT payload, destination FROM event ORDER BY id").all();

db.prepare(insert).run("{}", "billing");
const right = { payload: "{}", destination: "billing" };
assert.deepStrictEqual(rows(), [right], "control: both values are there, and `all` reads the row");

const read = db.prepare("SELECT payload, destination FROM event").get();
console.log("get:", JSON.stringify(read), "all:", JSON.stringify(rows()[0]));
const keys = Object.keys(read);
assert.deepStrictEqual(keys, ["payload", "destination", "_metadata"], "changed: a row of get");
assert.deepStrictEqual(Object.keys(read._metadata), ["duration"]);
const returned = db.prepare("UPDATE event SET payload = payload RETURNING payload").get();
assert.ok("_metadata" in returned, "changed: a row of RETURNING");

db.prepare(insert).run("{}"); // better-sqlite3: RangeError
const named = "INSERT INTO event (payload, destination) VALUES (:payload, :destination)";
db.prepare(named).run({ payload: "{}", destinatio: "billing" }); // better-sqlite3: RangeError
db.prepare(insert).run("{}", "billing", "too many"); // better-sqlite3: RangeError
console.log("stored:", JSON.stringify(rows().slice(1)));
const missing = { payload: "{}", destination: null };
assert.deepStrictEqual(rows().slice(1), [missing, missing, right], "changed: values are checked");
assert.throws(() => db.prepare(insert).run(), /NOT NULL/, "control: only the column refuses NULL");
JS
timeout 60 node check.js
