#!/usr/bin/env bash
# Two libraries that honor Retry-After repeat at once what a service has put off for a month.
#
# Installs: retryhttp 1.5.0 and httpx 0.28.1 from PyPI; axios-retry 4.5.0 and axios 1.21.1 from npm.
# Needs python3 with venv, node, and npm.
#
# Expected: both wait for as long as Retry-After asks, or for their own limit, or give up. RFC 9110,
# section 10.2.3, allows a date or a number of seconds, and sets no bound. retryhttp documents that
# its strategy takes both forms, and that the fallback is used where the value exceeds `wait_max`
# (120 s by default). The README in axios-retry's repository says that it waits for the header's
# duration or its own delay, whichever is larger.
#
# What happens with "in 30 days":
# - retryhttp, given a date, subtracts and takes `timedelta.seconds`, which leaves whole days out:
#   "in 30 days and 2 seconds" is a wait of one or two seconds, below `wait_max`, so that no
#   fallback is used either. Given the number of seconds, it does notice.
# - axios-retry, given the number, passes it to setTimeout. More than 2^31 - 1 ms (24.8 days) is one
#   millisecond there: all retries are made within a fraction of a second.
#
# Why it matters: "not before next month" is how a service says that a quota is used up. A delivery
# that is repeated at once burns all its attempts against a 429 or 503 that will not change, and is
# given up (a dead letter) long before the service takes it, if the service does not block the
# sender for ignoring the header first. A handler that uses such a client under an outbox should
# leave retries to the outbox.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check retryhttp==1.5.0 httpx==0.28.1
timeout 60 venv/bin/python - <<'PY'
import threading, time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version

import httpx, retryhttp
from tenacity import wait_fixed

arrivals = []


class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        arrivals.append(time.monotonic())
        self.send_response(429)
        if self.path == "/date":
            then = datetime.now(timezone.utc) + timedelta(days=30, seconds=2.5)
            self.send_header("Retry-After", format_datetime(then, usegmt=True))
        else:
            self.send_header("Retry-After", str(30 * 24 * 3600))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


service = HTTPServer(("127.0.0.1", 0), Service)
threading.Thread(target=service.serve_forever, daemon=True).start()
# The fallback is six seconds, to be told from the two that are left of the date.
strategy = retryhttp.wait_retry_after(fallback=wait_fixed(6))


@retryhttp.retry(max_attempt_number=2, wait_rate_limited=strategy)
def call(path):
    httpx.get(f"http://127.0.0.1:{service.server_port}{path}").raise_for_status()


def waited(path):
    arrivals.clear()
    try:
        call(path)
    except Exception:
        pass
    assert len(arrivals) == 2, arrivals
    return arrivals[1] - arrivals[0]


seconds, date = waited("/seconds"), waited("/date")
print(f"retryhttp {version('retryhttp')}: 30 days as a number: fallback after {seconds:.1f} s; "
      f"as a date: repeated after {date:.1f} s")
assert seconds > 5.5, "control: a number beyond wait_max makes it use the fallback"
assert date < 4, "changed: days count"
PY

npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts --save-exact \
    axios-retry@4.5.0 axios@1.21.1
cat >check.js <<'JS'
const assert = require("node:assert");
const http = require("node:http");
const axios = require("axios");
const { default: axiosRetry, exponentialDelay } = require("axios-retry");

async function waits(url, retries) {
  const client = axios.create();
  axiosRetry(client, { retries, retryDelay: exponentialDelay });
  arrivals.length = 0;
  await assert.rejects(client.get(url), { status: 503 });
  return arrivals.slice(1).map((time, index) => time - arrivals[index]);
}

const arrivals = [];
const service = http.createServer((request, response) => {
  arrivals.push(performance.now());
  response.writeHead(503, { "Retry-After": request.url.slice(1) }).end();
});
service.listen(0, "127.0.0.1", async () => {
  const url = `http://127.0.0.1:${service.address().port}`;
  const near = await waits(`${url}/2`, 1);
  const far = await waits(`${url}/${30 * 24 * 3600}`, 5);
  service.close();
  console.log(`axios-retry ${require("axios-retry/package.json").version}:`,
    `Retry-After 2: waited ${near.map(Math.round)} ms;`,
    `30 days: waited ${far.map(Math.round)} ms`);
  assert(near[0] >= 1990, "control: it does wait for two seconds");
  assert(far.length === 5 && far.every((wait) => wait < 1000), "changed: no retries at once");
});
JS
NODE_NO_WARNINGS=1 timeout 60 node check.js
