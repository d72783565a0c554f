"""The component of the measurements under Autobahn-Python: it says when it has registered its procedure."""

import itertools

from autobahn.asyncio.wamp import ApplicationSession

NUMBERS = itertools.count()


class Echo(ApplicationSession):
    async def onJoin(self, details):
        await self.register(lambda *args: args[0], "bench.python.%d" % next(NUMBERS))
        print("ready", flush=True)
