"""``python -m ib_checks LIBRARY PORT GROUP``: prints check -> what is wrong with it, as JSON."""

import asyncio
import json
import sys

from ib_checks.harness import run_group

library, port, group = sys.argv[1:]
print(json.dumps(asyncio.run(run_group(library, int(port), group))))
