#!/usr/bin/env python3
"""An EDGELESS function that speaks lines of JSON over stdin and stdout.

It does the same as the sample that is built into `shellrt-edged edgeless`. Nothing is needed besides
Python's standard library, so it runs in a container as well as in a WebAssembly Python:

    shellrt-edged edgeless --plugin containerd --module my-function:1 -- python3 /edgeless_sample.py
"""

import json
import sys


def say(op, **members):
    print(json.dumps({"op": op, **members}), flush=True)


def cast(text):
    """Something that is not answered."""
    command, _, rest = text.partition(" ")
    words = rest.split(" ", 2)
    if command == "recast" and len(words) > 1:
        to, _, data = rest.partition(" ")
        say("cast", to=to, data=data)
    elif command == "recast-raw" and len(words) > 2:
        say("cast", to_node=words[0], to_function=words[1], data=words[2])
    elif command == "recast-delayed" and len(words) > 2 and words[0].isdigit():
        say("cast", delay_ms=int(words[0]), to=words[1], data=words[2])
    elif command == "telemetry-log" and len(words) > 1:
        target, _, message = rest.partition(" ")
        say("log", level="info", target=target, message=message)
    elif command == "sync":
        say("sync", state=rest)
    else:
        say("cast", to="output", data=text, delay_ms=1000)


class Function:
    def __init__(self):
        # Our own calls that are open: our id, and the id of the call that waits for the answer.
        self.open = {}

    def call(self, id, text):
        """Something that is answered."""
        command, _, rest = text.partition(" ")
        words = rest.split(" ", 2)
        if command == "recall" and len(words) > 1:
            to, _, data = rest.partition(" ")
            self.ask(id, to=to, data=data)
        elif command == "recall-raw" and len(words) > 2:
            self.ask(id, to_node=words[0], to_function=words[1], data=words[2])
        elif text == "noret":
            say("no_reply", id=id)
        elif text == "err":
            say("error", id=id, message="it was asked for an error")
        else:
            say("reply", id=id, data=text)

    def ask(self, id, **members):
        """Calls somebody else; what they answer is the answer."""
        own = f"for {id}"
        self.open[own] = id
        say("call", id=own, **members)

    def hear(self, message):
        op, id = message["op"], message.get("id")
        if op == "init":
            say("ready")
        elif op == "cast":
            cast(message.get("data", ""))
        elif op == "call":
            self.call(id, message.get("data", ""))
        elif op == "reply" and id in self.open:
            say("reply", id=self.open.pop(id), data=message.get("data", ""))
        elif op == "no_reply" and id in self.open:
            say("no_reply", id=self.open.pop(id))
        elif op == "error" and id in self.open:
            say("error", id=self.open.pop(id), message=message["message"])
        elif op == "cancel":
            for own in [own for own, waiting in self.open.items() if waiting == id]:
                del self.open[own]
                say("cancel", id=own)
            say("error", id=id, message="cancelled")
        elif op == "stop":
            sys.exit(0)
        else:
            print(message, file=sys.stderr)


function = Function()
for line in sys.stdin:
    function.hear(json.loads(line))
