"""Plays the old framework: a process that is the master or a normal instance of a service, and one that reads who is what."""

import argparse
import json

from kazoo.exceptions import NodeExistsError, NoNodeError
from old_program import connect, events_until_sigterm, say, serve_the_time

# In the order in which they are written.
KEYS = {
    "serverip": str,
    "serverport": int,
    "username": str,
    "userpwd": str,
    "serveruniquecode": str,
    "weight": int,
}


def encode(node):
    """As the framework's own encoder writes it."""
    text = json.dumps(node, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()


def decode(value):
    """The node, or None: these readers take nothing but exactly the six keys."""
    try:
        node = json.loads(value)
    except ValueError:
        return None
    right = isinstance(node, dict) and node.keys() == KEYS.keys()
    return node if right and all(type(node[key]) is kind for key, kind in KEYS.items()) else None


def join(args, client, directory):
    """Is the master, or a normal instance until the master is gone. Ends by SIGTERM."""
    events = events_until_sigterm()
    address = serve_the_time(f"{args.ip}:{args.port}")
    node = {
        "serverip": args.ip,
        "serverport": int(address.rpartition(":")[2]),
        "username": args.username,
        "userpwd": args.userpwd,
        "serveruniquecode": args.code,
        "weight": args.weight,
    }
    client.ensure_path(directory)
    normal, master = None, f"{directory}/master"
    while True:
        try:
            client.create(master, encode(node), ephemeral=True)
            break
        except NodeExistsError:
            if normal is None:
                normal = client.create(f"{directory}/normal", encode(node), ephemeral=True, sequence=True)
                say(role="normal", path=normal, address=address)
            if client.exists(master, watch=events.put) and events.get() is None:
                return
    if normal is not None:
        client.delete(normal, version=0)
    say(role="master", path=master, address=address)
    while events.get() is not None:
        pass


def read(client, directory, watch=None):
    """Who is what at one moment: what changed while it was read is read again."""
    while True:
        try:
            names, before = client.get_children(directory, watch=watch, include_data=True)
            values = {name: client.get(f"{directory}/{name}", watch=watch)[0] for name in names}
            now = client.exists(directory)
        except NoNodeError:
            if not client.exists(directory):
                return {"master": None, "normal": [], "bad": []}
            continue
        if now and now.cversion == before.cversion and now.pzxid == before.pzxid:
            break
    nodes = {name: decode(value) for name, value in sorted(values.items())}
    master = nodes.get("master")
    normal = [node for name, node in nodes.items() if name != "master" and node]
    return {"master": master, "normal": normal, "bad": [name for name, node in nodes.items() if not node]}


def watch(client, directory):
    """Prints who is what, and again at each change. Ends by SIGTERM."""
    events, told = events_until_sigterm(), None
    client.ensure_path(directory)
    while True:
        now = read(client, directory, watch=events.put)
        if now != told:
            say(**now)
            told = now
        if events.get() is None:
            return


parser = argparse.ArgumentParser()
parser.add_argument("role", choices=["join", "list", "watch"])
parser.add_argument("--zk", required=True)
parser.add_argument("--root", required=True)
parser.add_argument("--service", required=True)
parser.add_argument("--ip", default="127.0.0.1")
parser.add_argument("--port", type=int, default=0, help="0: any that is free")
parser.add_argument("--username", default="")
parser.add_argument("--userpwd", default="")
parser.add_argument("--code", default="")
parser.add_argument("--weight", type=int, default=1)
args = parser.parse_args()

client = connect(args.zk)
directory = f"{args.root}/{args.service}"
if args.role == "join":
    join(args, client, directory)
elif args.role == "list":
    say(**read(client, directory))
else:
    watch(client, directory)
client.stop()
