#!/usr/bin/env bash
# Two CloudEvents SDKs turn JSON data that is not an object into something else, silently.
#
# Installs: cloudevents 2.2.0 from PyPI; cloudevents 10.0.0 from npm. Needs python3 with venv, node
# and npm.
#
# Expected: with `datacontenttype: application/json`, an event's data is any JSON value, and the
# same one in structured mode (the member `data`) as in binary mode (the body). The JSON format
# (1.0.2) says in section 3.1 that it may be any, and shows in section 3.2 that a string keeps its
# quotes in the body of binary mode. Both SDKs declare support for both modes.
#
# What happens:
# - Python: `to_binary` writes a list, or `true` and `false`, as Python shows them: the list of one
#   object with a flag becomes [{'paid': True}], under the content type application/json. Its own
#   `from_binary` then finds no JSON, and answers with that text as a string. Strings go out
#   without quotes: "paid" is no JSON then, "7" a number. Objects are right, and all values are in
#   structured mode.
# - JavaScript: `toEvent` of a structured message leaves `data` out where it is 0, false or "". Of a
#   binary message, it makes a string of a number, of true, false and null: 5 becomes "5". Strings
#   go out without quotes, so that "[1]" comes back as a list. Objects and lists are right, and in
#   batched mode all values are.
# No error is raised in any of these.
#
# Why it matters: a relay sends an outbox's events in one of these modes, and a consumer reads or
# forwards them with an SDK. A list of changes, a flag or a counter is ordinary as an event's data.
# The consumer sees no data, or text instead of a list, and an event that a Python service forwards
# in binary mode is broken for everyone behind it. An object as data is safe with both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check cloudevents==2.2.0
cat >check.py <<'PY'
import json
from importlib.metadata import version

from cloudevents.core.bindings.http import HTTPMessage, from_binary, from_structured, to_binary
from cloudevents.core.formats.json import JSONFormat

print("Python SDK", version("cloudevents"))
form = JSONFormat()
ATTRIBUTES = {
    "specversion": "1.0", "id": "1", "source": "/outbox", "type": "order",
    "datacontenttype": "application/json",
}


def structured(data):
    body = json.dumps({**ATTRIBUTES, "data": data}).encode()
    headers = {"content-type": "application/cloudevents+json"}
    return from_structured(HTTPMessage(headers, body), form)


for data, body, back in [
    ({"paid": True}, b'{"paid": true}', {"paid": True}),
    ([{"paid": True}], b"[{'paid': True}]", "[{'paid': True}]"),
    (False, b"False", "False"),
    ("paid", b"paid", "paid"),
    ("7", b"7", 7),
]:
    event = structured(data)
    assert event.get_data() == data, "control: structured mode is read as it is"
    message = to_binary(event, form)
    assert message.headers["content-type"] == "application/json"
    assert message.body == body, f"changed: {data!r} is sent as {message.body!r}"
    read = from_binary(message, form).get_data()
    assert read == back, f"changed: {data!r} is read as {read!r}"
    print(f"{json.dumps(data)}: sent in binary mode as {message.body.decode()}, read as {read!r}")
PY
venv/bin/python check.py

npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts --save-exact cloudevents@10.0.0
cat >check.js <<'JS'
const assert = require("node:assert");
const { readFileSync } = require("node:fs");
const { CloudEvent, HTTP } = require("cloudevents");

const manifest = JSON.parse(readFileSync("node_modules/cloudevents/package.json", "utf8"));
console.log("JavaScript SDK", manifest.version);
const attributes = {
  specversion: "1.0", id: "1", source: "/outbox", type: "order",
  datacontenttype: "application/json",
};
const event = (data) => JSON.stringify({ ...attributes, data });
const modes = {
  structured: (data) => HTTP.toEvent({
    headers: { "content-type": "application/cloudevents+json" },
    body: event(data),
  }),
  batched: (data) => HTTP.toEvent({
    headers: { "content-type": "application/cloudevents-batch+json" },
    body: `[${event(data)}]`,
  })[0],
  binary: (data) => HTTP.toEvent({
    headers: {
      "content-type": "application/json", "ce-specversion": "1.0", "ce-id": "1",
      "ce-source": "/outbox", "ce-type": "order",
    },
    body: JSON.stringify(data),
  }),
};
const read = (mode, data) => modes[mode](data).data;
const expected = [
  // data, structured, binary
  [{ paid: true }, { paid: true }, { paid: true }],
  [[1], [1], [1]],
  ["abc", "abc", "abc"],
  [5, 5, "5"],
  [true, true, "true"],
  [0, undefined, "0"],
  [false, undefined, "false"],
  ["", undefined, ""],
];
for (const [data, structured, binary] of expected) {
  assert.deepStrictEqual(read("batched", data), data, "control: batched mode is read as it is");
  const seen = [read("structured", data), read("binary", data)];
  assert.deepStrictEqual(seen, [structured, binary], `changed: ${JSON.stringify(data)}`);
  console.log(`${JSON.stringify(data)}: read in structured mode as ${JSON.stringify(seen[0])},`
    + ` in binary mode as ${JSON.stringify(seen[1])}`);
}
for (const [data, back] of [["paid", "paid"], ["[1]", [1]]]) {
  const message = HTTP.binary(new CloudEvent({ ...attributes, data }));
  assert.strictEqual(message.body, data, "changed: a string is sent with quotes");
  assert.deepStrictEqual(HTTP.toEvent(message).data, back, "changed: it comes back otherwise");
  console.log(`"${data}": sent in binary mode as ${message.body}, read as ${JSON.stringify(back)}`);
}
JS
timeout 60 node check.js
