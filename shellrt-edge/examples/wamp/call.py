"""Calls a procedure with Autobahn-Python, and prints its result:

    python call.py hello
    WAMP_URL=ws://router.example/ws python call.py hello org.example.echo
"""

import asyncio
import os
import sys

from autobahn.asyncio.wamp import ApplicationRunner, ApplicationSession
from autobahn.wamp.exception import ApplicationError

TEXT = sys.argv[1]
PROCEDURE = sys.argv[2] if len(sys.argv) > 2 else "org.example.echo"


class Caller(ApplicationSession):
    result = error = None

    async def onJoin(self, details):
        try:
            Caller.result = await self.call(PROCEDURE, TEXT)
        except ApplicationError as error:
            Caller.error = error
        self.leave()

    def onDisconnect(self):
        # The runner would go on for ever.
        asyncio.get_running_loop().stop()


runner = ApplicationRunner(os.environ.get("WAMP_URL", "ws://127.0.0.1:8080/ws"), "realm1")
runner.run(Caller, log_level="error")
print(Caller.result) if Caller.error is None else sys.exit(str(Caller.error))
