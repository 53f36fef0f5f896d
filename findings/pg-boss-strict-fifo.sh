#!/usr/bin/env bash
# pg-boss delivers the jobs of one transaction in random order, even where it promises strict order.
#
# Installs: pg-boss 12.38.0 and, as its database, @electric-sql/pglite 0.5.17 (PostgreSQL in the
# process; pg-boss has an adapter for it). From npm. Needs node and npm; pg-boss asks for node 22,
# and all of this runs on node 20, too.
#
# Expected: a queue with the policy `key_strict_fifo` "ensures FIFO ordering per `singletonKey`"
# (its type definitions; docs/api/queues.md says the same): of two jobs with one key, the one sent
# first is delivered first. pg-boss also takes the connection of a transaction, so that jobs are
# sent together with the change they are about (docs, transactions), and `insert` for several jobs
# at once.
#
# What happens: the order is that of `created_on`, then of `id`. `created_on` is PostgreSQL's now(),
# the time at which the transaction began, so all jobs of a transaction (and of an `insert`) have
# the same one; `id` is a random UUID. Jobs with one key from one transaction come in any order: of
# three, five times out of six in a wrong one. Sent in a transaction each, they come as they were
# sent. With ids of one's own that grow (the option `id`, UUIDv7 for example), they come in order as
# well.
#
# Why it matters: an outbox is used inside a transaction, and one transaction often has several
# events of one entity: created, then changed; changed, then deleted. The policy is chosen for just
# that. An update that arrives before its creation fails, or a deletion is followed by what it
# should undo, at random and not in tests that send one job at a time.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts --save-exact \
    pg-boss@12.38.0 @electric-sql/pglite@0.5.17
cat >check.mjs <<'JS'
import assert from "node:assert";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { PGlite } from "@electric-sql/pglite";
import { PgBoss, fromPglite } from "pg-boss";

const { version } = JSON.parse(readFileSync("node_modules/pg-boss/package.json", "utf8"));
const postgres = new PGlite();
const boss = new PgBoss({ db: fromPglite(postgres), supervise: false, schedule: false });
boss.on("error", (error) => { throw error; });
await boss.start();
await boss.createQueue("events", { policy: "key_strict_fifo" });

const KEYS = 20;
const EVENTS = ["create", "update", "delete"];
let last = 0;
// A UUIDv7 whose time only grows.
const growing = () => {
  const time = (last += 1).toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-000000000000`;
};
const within = (transaction) => ({
  db: { executeSql: (text, values) => transaction.query(text, values) },
});
const ways = {
  "a transaction each": async (singletonKey) => {
    for (const event of EVENTS) {
      await boss.send("events", { event }, { singletonKey });
      await pause(5); // PGlite's clock is coarse
    }
  },
  "one transaction": (singletonKey) => postgres.transaction(async (transaction) => {
    for (const event of EVENTS) {
      await boss.send("events", { event }, { singletonKey, ...within(transaction) });
    }
  }),
  "one insert": (singletonKey) => boss.insert("events",
    EVENTS.map((event) => ({ data: { event }, singletonKey }))),
  "one transaction, growing ids": (singletonKey) => postgres.transaction(async (transaction) => {
    for (const event of EVENTS) {
      const options = { singletonKey, id: growing(), ...within(transaction) };
      await boss.send("events", { event }, options);
    }
  }),
};

console.log(`pg-boss ${version}, ${KEYS} entities with ${EVENTS.join(", ")}`);
const wrong = {};
for (const [way, send] of Object.entries(ways)) {
  wrong[way] = 0;
  let example;
  for (let entity = 0; entity < KEYS; entity += 1) {
    await send(`${way}-${entity}`);
    const received = [];
    for (let count = 0; count < EVENTS.length; count += 1) {
      const [job] = await boss.fetch("events");
      received.push(job.data.event);
      await boss.complete("events", job.id);
    }
    assert.deepStrictEqual(received.toSorted(), EVENTS.toSorted(), "control: all three arrive");
    if (received.join() !== EVENTS.join()) {
      wrong[way] += 1;
      example ??= received.join(", ");
    }
  }
  console.log(`${way}: ${wrong[way]} in a wrong order${example ? `, such as ${example}` : ""}`);
}
await boss.stop({ graceful: false });
await postgres.close();
assert.strictEqual(wrong["a transaction each"], 0, "control: sent one by one");
assert.strictEqual(wrong["one transaction, growing ids"], 0, "control: the ids decide");
// In order by chance: once in 6^20 runs.
assert(wrong["one transaction"] > 0, "changed: a transaction's jobs come in order");
assert(wrong["one insert"] > 0, "changed: an insert's jobs come in order");
JS
timeout 120 node check.mjs
