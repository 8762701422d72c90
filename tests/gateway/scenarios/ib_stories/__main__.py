"""``python -m ib_stories LIBRARY GROUP [SCENARIO...]``: asks on stdout, hears on stdin, and ends with
``["done", {story: what is wrong}]``; the everyday story is told under each of the scenarios."""

import asyncio
import importlib
import sys

from ib_stories import bench

library, group, *scenarios = sys.argv[1:]
if library == "ib_insync":  # it wants a current loop when it is imported
    asyncio.set_event_loop(asyncio.new_event_loop())
lib = importlib.import_module(library)
module = importlib.import_module(f"ib_stories.{group}")
if scenarios:
    bench.story(*scenarios)(module.everyday)
bench.ask("done", asyncio.run(bench.run_stories(lib, group)))
