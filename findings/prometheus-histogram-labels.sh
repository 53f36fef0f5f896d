#!/usr/bin/env bash
# parse-prometheus-text-format merges all series of a histogram or summary into one, and loses most.
#
# Installs: parse-prometheus-text-format 1.1.1 from npm. Needs node and npm.
#
# Expected: each series of a histogram, told apart by its labels, is an object with these labels,
# buckets, sum and count. Its README says that the output aims to be compatible with prom2json's,
# which has `labels`, `buckets`, `count` and `sum` for each; and counters and gauges come with their
# labels here, too.
#
# What happens: as soon as a histogram or summary has a label besides `le` or `quantile`, there is
# one object for all of its series. It has no labels, sum or count; a bucket that several series
# have gets the value of the last one. Nothing says so (a pull request of 2019 that corrects it,
# number 8, is open). Without such a label, the result is right.
#
# Why it matters: delivery times are a histogram by destination or event type. A check of an outbox
# that reads its metrics with this package sees one destination's numbers under no name, whichever
# comes last: a destination that hangs is hidden by one that is well.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts --save-exact \
    parse-prometheus-text-format@1.1.1
cat >check.js <<'JS'
const assert = require("node:assert");
const parse = require("parse-prometheus-text-format");

const series = (labels, fast, all) => {
  const extended = (more) => `{${[labels, more].filter(Boolean).join(",")}}`;
  const own = labels ? `{${labels}}` : "";
  return `delivery_seconds_bucket${extended('le="1"')} ${fast}
delivery_seconds_bucket${extended('le="+Inf"')} ${all}
delivery_seconds_sum${own} ${all * 10}
delivery_seconds_count${own} ${all}
`;
};
const read = (...lines) => {
  const text = `# TYPE delivery_seconds histogram\n${lines.join("")}`;
  const [family] = parse(text);
  assert.strictEqual(family.type, "HISTOGRAM");
  return family.metrics;
};

console.log("parse-prometheus-text-format",
  require("parse-prometheus-text-format/package.json").version);
const plain = read(series("", 90, 100));
assert.deepStrictEqual(plain, [
  { buckets: { 1: "90", "+Inf": "100" }, count: "100", sum: "1000" },
], "control: a histogram without labels is read as it is");

const [gauge] = parse('# TYPE waiting gauge\nwaiting{to="a"} 1\nwaiting{to="b"} 2\n');
assert.deepStrictEqual(gauge.metrics.map((one) => one.labels.to), ["a", "b"], "control: a gauge");

const two = read(series('to="hangs"', 0, 100), series('to="well"', 70, 70));
console.log("two destinations:", JSON.stringify(two));
assert.deepStrictEqual(two, [{ buckets: { 1: "70", "+Inf": "70" } }], "changed: other series");
JS
timeout 60 node check.js
