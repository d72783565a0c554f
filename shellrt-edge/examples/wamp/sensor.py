"""A component as Autobahn-Python's users write them: it knows nothing of who runs it.

    # wamp.yaml
    components:
      sensor.Sensor:
        component: self
        plugin: containerd
        image: registry.example/runners:1        # Python, autobahn, autobahn-python-runners and decorator
        command: [run_asyncio_component]
        network: host
        mounts: [{type: bind, source: /srv/components, target: /app, read_only: true}]
        env: {PYTHONPATH: /app}

    shellrt-edged wamp --config wamp.yaml -c sensor.Sensor -u ws://127.0.0.1:8080/ws -r realm1 -e extra.json -n
"""

import asyncio
import itertools

from autobahn.asyncio.wamp import ApplicationSession


class Sensor(ApplicationSession):
    """Publishes what it measures, every `period` seconds of its extra, and tells its last value when asked."""

    async def onJoin(self, details):
        extra = self.config.extra
        self.name = extra.get("name", "sensor")
        self.value = None
        await self.register(self.read, "org.example.%s.read" % self.name)
        for self.value in itertools.count():
            self.publish("org.example.%s.value" % self.name, self.value)
            await asyncio.sleep(extra.get("period", 1))

    async def read(self):
        return {"name": self.name, "value": self.value}
