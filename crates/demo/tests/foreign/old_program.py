"""What the programs in this folder have in common: each plays one of the old programs, with a ZooKeeper client that is not ours."""

import datetime
import json
import logging
import queue
import signal
import socket
import threading

from kazoo.client import KazooClient

SESSION = 2.0  # seconds
PATIENCE = 20.0


def connect(zk):
    """A session, or an error after a while."""
    logging.basicConfig(level=logging.CRITICAL)
    client = KazooClient(hosts=zk, timeout=SESSION)
    client.start(timeout=PATIENCE)
    return client


def say(**what):
    """One JSON object on a line of its own, at once."""
    print(json.dumps(what), flush=True)


def events_until_sigterm():
    """A queue for what a program waits for. SIGTERM puts None into it."""
    events = queue.SimpleQueue()
    signal.signal(signal.SIGTERM, lambda *_: events.put(None))
    return events


def host_and_port(address):
    """The parts of ip:port or [ip]:port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def serve_the_time(address):
    """Answers every connection as the old servers do: no end of line, and a close without having read anything."""
    host, port = host_and_port(address)
    listener = socket.create_server((host, port))
    host, port = listener.getsockname()[:2]
    own = f"{host}:{port}"

    def answer():
        while True:
            connection, _ = listener.accept()
            try:
                connection.sendall(f"{own} {datetime.datetime.now().isoformat()}".encode())
            except OSError:
                pass
            connection.close()

    threading.Thread(target=answer, daemon=True).start()
    return own
