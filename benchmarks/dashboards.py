"""Many people watching the live dashboard: does every one of them see every update, and what does it cost the server?

Claim: 20 watchers of 100 symbols x 9 horizons at one update a second need less than one core.

    python benchmarks/dashboards.py [--watchers 20] [--symbols 100] [--seconds 60] [--json]

A puppet writes the journal, `panel serve dashboards/live.py` runs on one core, and watchers that speak Bokeh's protocol
over WebSockets count what reaches them: a decision's lateness is the time from its record to the patch that shows it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

ROOT = Path(__file__).resolve().parent.parent
READY_S = 90.0
BAR_SHOWN = re.compile(rb"decided at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")
"""How a page says which decision it shows."""
READY = {"events": [{"kind": "MessageSent", "msg_type": "bokeh_event",
                     "msg_data": {"type": "event", "name": "document_ready", "values": {"type": "map"}}}]}  # fmt: skip
"""What a browser says when a page is drawn; the page begins to follow then."""


@dataclass
class Watcher:
    """One page: when each bar was first shown, and how much was sent."""

    shown: dict[str, float] = field(default_factory=dict)  # bar -> real time
    patches: int = 0
    received: int = 0


@dataclass
class Load:
    """What was measured of a server with `watchers`: processor seconds a second, MiB, and what reached them."""

    watchers: list[Watcher]
    written: dict[str, float]  # bar -> real time of its record
    cpu: float
    memory_mib: tuple[float, float]
    seconds: float

    @property
    def seen(self) -> list[float]:
        """Part of the bars that each watcher saw."""
        return [len(set(w.shown) & set(self.written)) / max(len(self.written), 1) for w in self.watchers]

    @property
    def lateness_s(self) -> np.ndarray:
        """Seconds from a bar's record until it was shown, every watcher and bar."""
        return np.array([at - self.written[bar] for w in self.watchers for bar, at in w.shown.items()
                         if bar in self.written])  # fmt: skip


@contextlib.contextmanager
def served(folder: Path, home: Path, page: str = "live") -> Iterator[tuple[psutil.Process, str]]:
    """`panel serve dashboards/PAGE.py` of an engine's folder, on one core; its process and address."""
    port = _free_port()
    env = {**os.environ, "WORKBENCH_DASH_FOLDER": str(folder), "WORKBENCH_DASH_SECRETS": str(home / "secrets")}
    command = [sys.executable, "-m", "panel", "serve", f"dashboards/{page}.py", "--port", str(port)]
    with (home / "serve.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        process = psutil.Process(server.pid)
        process.cpu_affinity([process.cpu_affinity()[0]])
        address = f"http://127.0.0.1:{port}/{page}"
        _await_answer(address, server, home / "serve.log")
        yield process, address
    finally:
        server.terminate()
        server.wait(20)


async def watch(address: str, watcher: Watcher, end: asyncio.Event) -> None:
    """Open the page as a browser does and take in what it sends, until `end` is set."""
    html = await asyncio.to_thread(lambda: urllib.request.urlopen(address, timeout=60).read())
    token = re.search(rb'"token":\s*"([^"]+)"', html)
    assert token is not None, "the page holds no session token"
    request = HTTPRequest(address.replace("http", "ws", 1) + "/ws", request_timeout=60)
    socket_ = await websocket_connect(request, subprotocols=["bokeh", token[1].decode()], max_message_size=2**28)
    for _ in range(3):  # the server's acknowledgement: it hears nothing before
        await socket_.read_message()
    await _say(socket_, READY)
    while not end.is_set():
        message = await socket_.read_message()
        assert message is not None, "the server closed the page"
        _take(watcher, message if isinstance(message, bytes) else message.encode())
    socket_.close()


def _take(watcher: Watcher, fragment: bytes) -> None:
    watcher.received += len(fragment)
    watcher.patches += b'"msgtype":"PATCH-DOC"' in fragment.replace(b" ", b"")
    for bar in BAR_SHOWN.findall(fragment):
        watcher.shown.setdefault(bar.decode(), time.time())


async def _say(connection: WebSocketClientConnection, content: dict[str, Any]) -> None:
    """A PATCH-DOC message of Bokeh's protocol: header, metadata, content."""
    for part in ({"msgid": "1", "msgtype": "PATCH-DOC"}, {}, content):
        await connection.write_message(json.dumps(part))


def measure(watchers: int, symbols: int, seconds: float, *, every_s: float = 1.0) -> Load:
    """Watch a puppet's session for `seconds`, begun once every page is open."""
    with tempfile.TemporaryDirectory() as home_:
        home = Path(home_)
        folder = home / "live"
        with (
            puppet(folder, symbols, every_s, seconds + READY_S + 5 * watchers),
            served(folder, home) as (process, address),
        ):
            return asyncio.run(_measure(process, address, folder, watchers, seconds))


async def _measure(process: psutil.Process, address: str, folder: Path, count: int, seconds: float) -> Load:
    told, tasks = [Watcher() for _ in range(count)], []
    end = asyncio.Event()
    for watcher in told:  # one after the other, as people come
        tasks.append(asyncio.create_task(watch(address, watcher, end)))
        while not watcher.shown:
            await asyncio.sleep(0.05)
            for task in tasks:
                if task.done():
                    task.result()
    begun, spent, memory = time.monotonic(), sum(process.cpu_times()[:2]), process.memory_info().rss
    first = time.time()
    await asyncio.sleep(seconds)
    end.set()
    await asyncio.gather(*tasks)
    passed = time.monotonic() - begun
    cpu = (sum(process.cpu_times()[:2]) - spent) / passed
    written = {bar: at for bar, at in _written(folder).items() if first <= at <= first + seconds - 3}
    return Load(told, written, cpu, (memory / 2**20, process.memory_info().rss / 2**20), passed)


def _written(folder: Path) -> dict[str, float]:
    """bar -> real time at which its state was recorded."""
    from workbench.dash.feed import JournalFeed

    feed = JournalFeed(folder / "journal.db")
    with feed.reading() as journal:
        states = [(e.payload["last_bar"], e.recorded_at / 1e9) for e in journal.read("state")]
    return {bar.replace("T", " ").removesuffix("Z"): at for bar, at in states}


@contextlib.contextmanager
def puppet(folder: Path, symbols: int, every_s: float, seconds: float) -> Iterator[None]:
    """A process that writes the journal in `folder`."""
    script = str(ROOT / "tests" / "dash" / "puppet.py")
    command = [sys.executable, script, str(folder), "--symbols", str(symbols), "--every", str(every_s)]
    process = subprocess.Popen([*command, "--for", str(seconds)])
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _await_answer(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended: {log.read_text(errors='replace')[-2000:]}")
        try:
            urllib.request.urlopen(url, timeout=30).read()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"no answer within {READY_S:g} s: {log.read_text(errors='replace')[-2000:]}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--watchers", type=int, default=20, help="pages that are open (default 20)")
    parser.add_argument("--symbols", type=int, default=100, help="symbols in the alpha map (default 100)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they watch (default 60)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    arguments = parser.parse_args()
    load = measure(arguments.watchers, arguments.symbols, arguments.seconds)
    late = np.percentile(load.lateness_s, (50, 10, 90, 99)) if len(load.lateness_s) else np.full(4, np.nan)
    told = {
        "watchers": arguments.watchers, "updates": len(load.written), "processor, cores": load.cpu,
        "updates seen, least of all watchers": min(load.seen), "shown after, s (50 10 90 99 %)": late.tolist(),
        "KiB a second and watcher": sum(w.received for w in load.watchers) / load.seconds / 1024 / arguments.watchers,
        "memory at begin and end, MiB": load.memory_mib,
    }  # fmt: skip
    if arguments.json:
        print(json.dumps(told, indent=1))
        return
    for name, value in told.items():
        shown = ", ".join(f"{v:,.2f}" for v in value) if isinstance(value, (list, tuple)) else f"{value:,.2f}"
        print(f"{name:<38}{shown}")


if __name__ == "__main__":
    main()
