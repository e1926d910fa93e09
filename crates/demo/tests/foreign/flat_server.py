"""Plays an old time server: it registers as an empty node called ip:port, and serves the time there until SIGTERM."""

import argparse

from old_program import connect, events_until_sigterm, say, serve_the_time

parser = argparse.ArgumentParser()
parser.add_argument("--zk", required=True)
parser.add_argument("--dir", required=True)
parser.add_argument("--listen", default="127.0.0.1:0")
parser.add_argument("--persistent", action="store_true", help="the mistake of one of them")
parser.add_argument("--data", default="")
args = parser.parse_args()

events = events_until_sigterm()
address = serve_the_time(args.listen)
client = connect(args.zk)
client.ensure_path(args.dir)
path = client.create(f"{args.dir}/{address}", args.data.encode(), ephemeral=not args.persistent)
say(address=address, path=path)
events.get()
client.stop()
