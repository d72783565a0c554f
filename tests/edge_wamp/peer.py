"""A session of Autobahn-Python that does what it is told: one JSON object a line on stdin, one answer a line on
stdout, and what it hears of topics as {"event": [topic, args, kwargs]}."""

import asyncio
import json
import sys

from autobahn.asyncio.wamp import ApplicationRunner, ApplicationSession
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import CallOptions, EventDetails, PublishOptions, SubscribeOptions

import txaio

txaio.use_asyncio()


def say(value):
    print(json.dumps(value, default=lambda it: {"bytes": list(it)}), flush=True)


class Peer(ApplicationSession):
    async def onJoin(self, details):
        say({"joined": True})
        self.calls = {}
        loop = asyncio.get_running_loop()
        while True:
            line = await loop.run_in_executor(None, sys.stdin.readline)
            if not line:
                break
            asyncio.ensure_future(self.do(json.loads(line)))
        self.leave()

    async def do(self, what):
        try:
            say(await getattr(self, "do_" + what.pop("do"))(**what))
        except ApplicationError as error:
            say({"error": error.error, "args": list(error.args), "kwargs": error.kwargs})
        except asyncio.CancelledError:
            say({"failed": "cancelled"})
        except Exception as error:
            say({"failed": repr(error)})

    async def do_call(self, procedure, args=[], kwargs={}, progress=False, name=None):
        parts = []
        options = CallOptions(on_progress=parts.append) if progress else CallOptions()
        call = self.call(procedure, *args, options=options, **kwargs)
        if name:
            self.calls[name] = call
        result = await call
        return {"result": result, "parts": parts} if progress else {"result": result}

    async def do_cancel(self, name):
        self.calls[name].cancel()
        return {"cancelled": name}

    async def do_register(self, procedure):
        async def answer(*args, **kwargs):
            return [procedure, list(args), kwargs]

        await self.register(answer, procedure)
        return {"registered": procedure}

    async def do_subscribe(self, topic, match="exact"):
        def heard(*args, details=None, **kwargs):
            say({"event": [details.topic or topic, list(args), kwargs]})

        await self.subscribe(heard, topic, SubscribeOptions(match=match, details_arg="details"))
        return {"subscribed": topic}

    async def do_publish(self, topic, args=[], kwargs={}):
        await self.publish(topic, *args, options=PublishOptions(acknowledge=True), **kwargs)
        return {"published": topic}


ApplicationRunner(sys.argv[1], "realm1").run(Peer, log_level="error")
