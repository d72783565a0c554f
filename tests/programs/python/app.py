"""A command: says what it was given, and ends as it is told."""

import os
import sys

from wit_world import exports


class Run(exports.Run):
    def run(self):
        print(sys.version_info[0], sys.argv[1:], os.environ.get("GREETING"))
        print(sorted(os.listdir("/data")))
        for line in sys.stdin:
            print("heard", line.strip())
        if "fail" in sys.argv:
            raise RuntimeError("as told")
