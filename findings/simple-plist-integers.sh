#!/usr/bin/env bash
# simple-plist silently cuts the integers of a binary property list to 32 bits, both ways.
#
# Installs: simple-plist 1.4.0, which brings exactly bplist-parser 0.3.2 and bplist-creator 0.1.1;
# bplist-parser 0.5.0 and bplist-creator 0.3.0 to compare with. From npm. Needs node and npm.
#
# Expected: a binary property list is read as it was written, and written as it was given, as the
# XML form is by the same functions. Integers of eight bytes are ordinary in that format, and all
# values here are far below 2^53, so that JavaScript holds them exactly. The README names no limit.
#
# What happens: simple-plist, downloaded some millions of times a week, folds an integer of up to
# eight bytes with 32-bit operations when it reads. The low 32 bits are left, taken as signed:
# 2147483648 becomes -2147483648, 4294967296 becomes 0, a time in milliseconds becomes a day near
# 1970. When it writes, the upper 32 bits of such a number are lost in the file. There is no error
# either way. Newer versions of the two packages below it do both right, but installing them beside
# it changes nothing, because it asks for exact versions.
#
# Why it matters: a program that moves the outbox or the settings of an app on Apple's systems reads
# property lists: counters, ids of entities, times in milliseconds or microseconds. With
# simple-plist it imports wrong ids and times without noticing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts --save-exact \
    simple-plist@1.4.0 bplist-parser@0.5.0 bplist-creator@0.3.0
cat >check.js <<'JS'
const assert = require("node:assert");
const { readFileSync, writeFileSync } = require("node:fs");
const simple = require("simple-plist");
const parser = require("bplist-parser");
const creator = require("bplist-creator");

const given = {
  largest: 2147483647,
  entity: 2147483648,
  counter: 4294967296,
  milliseconds: 1764288000000,
  before1970: -1764288000000,
};
const map = (change) => Object.fromEntries(
  Object.entries(given).map(([key, value]) => [key, change(value)]),
);
const version = (name) => {
  const paths = [require.resolve("simple-plist")];
  return `${name} ${require(require.resolve(`${name}/package.json`, { paths })).version}`;
};
console.log(version("simple-plist"), "with", version("bplist-parser"), version("bplist-creator"));

simple.writeFileSync("text.plist", given);
assert.deepStrictEqual({ ...simple.readFileSync("text.plist") }, given, "control: XML");
writeFileSync("right.plist", creator(given));
const control = { ...parser.parseFileSync("right.plist")[0] };
assert.deepStrictEqual(control, given, "control: the newer packages write and read it");

const read = { ...simple.readFileSync("right.plist") };
simple.writeBinaryFileSync("written.plist", given);
const written = { ...parser.parseFileSync("written.plist")[0] };
for (const key of Object.keys(given)) {
  console.log(`${key} ${given[key]}: read as ${read[key]}, written as ${written[key]}`);
}
assert.deepStrictEqual(read, map((value) => value | 0), "changed: other integers are read");
assert.notDeepStrictEqual(written, given, "changed: the integers are written as they are");
JS
timeout 60 node check.js
