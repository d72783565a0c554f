"""A component for the tests: it speaks the line protocol and offers something of everything."""

import json
import os
import sys

INSTANCE = os.urandom(8).hex()


def say(op, **members):
    sys.stdout.write(json.dumps({"op": op, **members}) + "\n")
    sys.stdout.flush()


def hear():
    line = sys.stdin.readline()
    return json.loads(line) if line else {"op": "stop"}


class Component:
    def __init__(self, extra):
        self.extra = extra
        self.prefix = extra.get("prefix", "test")
        self.last = 0
        self.heard = []
        self.acknowledged = []
        self.open = {}
        self.later = {}

    def ask(self, then, op, **members):
        """Asks the router, and calls `then` with the answer."""
        self.last += 1
        self.open[self.last] = then
        say(op, id=self.last, **members)
        return self.last

    def begin(self):
        waiting = set()

        def done(answer):
            if answer["op"] == "error":
                say("error", message="not registered: " + answer["message"])
                return
            waiting.discard(answer["id"])
            if not waiting:
                say("ready")

        for name in dir(self):
            if name.startswith("do_"):
                procedure = "%s.%s" % (self.prefix, name[3:])
                options = {"invoke": self.extra["invoke"]} if "invoke" in self.extra else {}
                waiting.add(self.ask(done, "register", procedure=procedure, options=options))
        waiting.add(self.ask(done, "subscribe", topic=self.prefix + ".in.", options={"match": "prefix"}))

    def run(self):
        while True:
            line = hear()
            op = line["op"]
            if op == "stop":
                say("publish", topic=self.prefix + ".out", args=["stopped"])
                return
            elif op == "call":
                name = line["procedure"].rsplit(".", 1)[1]
                getattr(self, "do_" + name)(line["id"], *line.get("args", []), **line.get("kwargs", {}))
            elif op == "event":
                self.heard.append([line["topic"], line.get("args", []), line.get("kwargs", {})])
            elif op == "cancel":
                self.heard.append(["cancel", [self.later.pop(line["id"], None)], {}])
            elif op in ("reply", "error") and line.get("id") in self.open:
                then = self.open[line["id"]] if line.get("progress") else self.open.pop(line["id"])
                then(line)
            else:
                self.heard.append([op, [line.get("message")], {}])

    def do_echo(self, id, *args, **kwargs):
        say("reply", id=id, args=list(args), kwargs=kwargs)

    def do_instance(self, id):
        say("reply", id=id, args=[INSTANCE])

    def do_extra(self, id):
        say("reply", id=id, args=[self.extra])

    def do_data(self, id):
        say("reply", id=id, data="text")

    def do_fail(self, id, uri=None):
        say("error", id=id, message="it failed", **({"uri": uri} if uri else {}))

    def do_count(self, id, to):
        for number in range(to):
            say("reply", id=id, args=[number], progress=True)
        say("reply", id=id, args=["end"])

    def do_hang(self, id, name):
        self.later[id] = name

    def do_large(self, id, length):
        say("reply", id=id, args=["x" * length])

    def do_heard(self, id):
        say("reply", id=id, args=[self.heard])

    def do_ask(self, id, procedure, *args):
        def answered(answer):
            say("reply", id=id, args=[{key: answer[key] for key in ("op", "args", "uri") if key in answer}])

        self.ask(answered, "call", procedure=procedure, args=list(args))

    def do_parts(self, id, procedure, *args):
        parts = []

        def answered(answer):
            parts.append(answer.get("args"))
            if not answer.get("progress"):
                say("reply", id=id, args=[parts])

        self.ask(answered, "call", procedure=procedure, args=list(args), options={"receive_progress": True})

    def do_publish(self, id, count):
        """Publishes numbers, the next when the last is acknowledged, and answers at once."""
        say("reply", id=id)

        def publish(number):
            def acknowledged(answer):
                if answer["op"] == "reply":
                    self.acknowledged.append(number)
                    sys.stderr.write("acknowledged %d\n" % number)
                    if number + 1 < count:
                        publish(number + 1)

            self.ask(acknowledged, "publish", topic=self.prefix + ".out", args=[number])

        publish(0)

    def do_unregister(self, id, name):
        self.ask(lambda answer: say("reply", id=id, args=[answer["op"]]), "unregister", procedure=name)

    def do_nonsense(self, id):
        sys.stdout.write("not a message\n")
        sys.stderr.write("a line for the log\n")
        say("register", id=self.last + 1000, procedure="no uri")
        say("reply", id=999999)
        say("reply", id=id)

    def do_die(self, id):
        sys.exit(3)


first = hear()
if first["op"] == "init":
    component = Component(first.get("extra", {}))
    component.begin()
    component.run()
