"""A runtime below a runtime manager, written from the description of SLSocket alone.

child.py DIR HEADER INDEX: the directory of the socket, how long headers are, and its index. What comes on a
module's channel 0 is what the module does; what comes on its others is published on its channel 0.
"""

import json
import os
import socket
import struct
import sys

DIRECTORY, HEADER, INDEX = sys.argv[1], sys.argv[2], int(sys.argv[3])
FORMAT = {"6": "<IBB", "4": "<HBB"}[HEADER]

connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
connection.connect(f"{DIRECTORY}/{INDEX:02x}.s")
print("connected as", os.getpid(), "of session", os.getsid(0), flush=True)


def send(h1, h2, payload):
    connection.sendall(struct.pack(FORMAT, len(payload), h1, h2) + payload)


def read(length):
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            sys.exit("the manager has gone")
        data += piece
    return data


def do(module, line):
    verb, _, rest = line.decode().partition(" ")
    if verb == "open":
        channel, flags, topic = rest.split(" ", 2)
        send(0x80 | module, 3, bytes([int(channel), int(flags, 0)]) + topic.encode())
        send(module, 0, b"done: " + line)
    elif verb == "close":
        send(0x80 | module, 4, bytes([int(rest)]))
        send(module, 0, b"done: " + line)
    elif verb == "publish":
        channel, _, text = rest.partition(" ")
        send(module, int(channel), text.encode())
    elif verb == "fill":
        send(module, 0, b"x" * int(rest))
    elif verb == "keepalive":
        send(0x80, 0, rest.encode())
    elif verb == "log":
        send(0x80, 1, rest.encode())
    elif verb == "modulelog":
        send(0x80 | module, 5, bytes([0x80 | 40]) + rest.encode())
    elif verb == "profile":
        send(0x80 | module, 6, bytes.fromhex(rest))
    elif verb == "exit":
        send(0x80 | module, 2, rest.encode())
    elif verb == "nonsense":
        send(0x80 | module, 77, b"")
    elif verb == "die":
        os._exit(1)
    elif verb == "garbage":
        connection.sendall(b"\xff" * 64)
    else:
        send(module, 0, b"what? " + line)


while True:
    length, h1, h2 = struct.unpack(FORMAT, read(struct.calcsize(FORMAT)))
    payload = read(length)
    module = h1 & 0x7F
    if not h1 & 0x80:
        if h2 == 0:
            do(module, payload)
        else:
            send(module, 0, b"%d on %d: " % (module, h2) + payload)
    elif h2 == 0:
        data = json.loads(payload)
        assert data["index"] == module, data
        send(0x80 | module, 3, b"\x00\x03$SL/proc/stdio\x00")
        send(module, 0, payload)
    elif h2 == 1:
        send(0x80 | module, 2, b'{"status": "exited"}')
    elif h2 == 2:
        print("told to stop", flush=True)
