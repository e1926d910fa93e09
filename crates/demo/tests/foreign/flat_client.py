"""Plays an old client: it lists the directory, dials each name, asks for the time and prints what was answered."""

import argparse
import socket

from old_program import PATIENCE, connect, host_and_port, say

parser = argparse.ArgumentParser()
parser.add_argument("--zk", required=True)
parser.add_argument("--dir", required=True)
args = parser.parse_args()

client = connect(args.zk)
names = client.get_children(args.dir)
client.stop()
for name in sorted(names):
    with socket.create_connection(host_and_port(name), timeout=PATIENCE) as server:
        server.sendall(b"timestamp")
        answer = b""
        while part := server.recv(1024):
            answer += part
    say(name=name, answer=answer.decode())
