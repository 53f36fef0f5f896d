#!/usr/bin/env bash
# With express-idempotency a finished request stays "in progress" for good, unless send() answered
# it.
#
# Installs: express-idempotency 1.0.6 (the newest on npm) and express 5.3.0. Needs node and npm.
#
# Expected: 409 means that a request with the same key is being processed, and ends when that
# request does: then a repetition gets the stored answer (2xx), or runs again (anything else). The
# README says so of the "response http status code", and asks a handler to report errors that occur
# in it. How a handler answers is not mentioned.
#
# What happens: the middleware only notices `res.send`, and what calls it (`json`, `sendStatus`). A
# request that was answered by `res.status(204).end()` has succeeded, and every repetition gets 409,
# as long as the key is stored. So does each repetition after a handler threw an error that Express
# itself turned into a 500: the work was not done, and never will be under this key. (Known as issue
# 32 of VilledeMontreal/express-idempotency; a later version in its repository has a time limit that
# one can turn on.)
#
# Why it matters: a 409 under an idempotency key is repeated by outboxes, since it should pass. Here
# it never does. After a lost response, a delivery that was a success ends as a dead letter; after
# an error, one that would succeed is never tried. Services should answer with `send`, and call
# `reportError` in an error handler.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts --save-exact \
    express-idempotency@1.0.6 express@5.3.0
cat >check.js <<'JS'
const assert = require("node:assert");
const express = require("express");
const { getSharedIdempotencyService, idempotency } = require("express-idempotency");

const runs = {};
const app = express();
app.set("env", "test"); // Express prints no errors
app.use(express.json(), idempotency());
const handle = (path, answer) => app.post(path, (request, response) => {
  if (getSharedIdempotencyService().isHit(request)) return;
  runs[path] = (runs[path] ?? 0) + 1;
  answer(response);
});
handle("/send", (response) => response.status(201).send("made"));
handle("/refuse", (response) => response.status(503).send("later"));
handle("/end", (response) => response.status(204).end());
handle("/throw", () => {
  throw new Error("the database is away");
});

const service = app.listen(0, "127.0.0.1", async () => {
  const statuses = {};
  for (const path of ["/send", "/refuse", "/end", "/throw"]) {
    statuses[path] = [];
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const response = await fetch(`http://127.0.0.1:${service.address().port}${path}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", "Idempotency-Key": `key-of-${path}` },
        body: '{"amount":1}',
      });
      await response.arrayBuffer();
      statuses[path].push(response.status);
    }
    console.log(`${path}: the handler ran ${runs[path]} times, answers ${statuses[path]}`);
  }
  service.close();
  assert.deepStrictEqual(statuses["/send"], [201, 201, 201], "control: a success is repeated");
  assert.deepStrictEqual(statuses["/refuse"], [503, 503, 503], "control: a refusal runs again");
  assert.strictEqual(runs["/refuse"], 3, "control: a refusal runs again");
  assert.deepStrictEqual(statuses["/end"], [204, 409, 409], "changed: after end()");
  assert.deepStrictEqual(statuses["/throw"], [500, 409, 409], "changed: after an error");
  assert.strictEqual(runs["/throw"], 1, "changed: after an error");
});
JS
timeout 60 node check.js
