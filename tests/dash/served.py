"""Dashboards in a process of their own, with pages that show a line nobody uninvited may see, and plain clients."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
import pytest
from bokeh.protocol import Protocol
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

ROOT = Path(__file__).resolve().parents[2]
HELD = "held: 4711 shares of ZZZT"
"""What the stand-in pages show."""
_STAND = f"""
import panel as pn

def page(settings, person):
    return pn.pane.HTML(f"{HELD}, shown to {{person.name}}, {{person.role}}")
"""
_CUSTOM = """
import workbench.dash.frame as frame

for name in frame.PAGES:
    frame.PAGES[name] = "stand_in:page"
"""


@dataclass
class Answer:
    """Of a plain request."""

    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def cookies(self) -> str:
        """What to send along next time."""
        return "; ".join(c.split(";")[0] for c in self.headers.get_all("Set-Cookie", []))


@dataclass
class Served:
    """A server in a subprocess; `lines` is what it has said so far."""

    process: subprocess.Popen
    port: int
    lines: list[str] = field(default_factory=list)
    tls: bool = False

    @property
    def said(self) -> str:
        return "".join(self.lines)

    @property
    def token(self) -> str:
        return re.search(r"token=(\S+)", self.said).group(1)

    def get(self, path: str, host: str = "127.0.0.1", **headers: str) -> Answer:
        return self.ask("GET", path, host, None, headers)

    def post(self, path: str, form: dict[str, str], host: str = "127.0.0.1", **headers: str) -> Answer:
        headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        return self.ask("POST", path, host, urlencode(form), headers)

    def ask(self, method: str, path: str, host: str, body: str | None, headers: dict[str, str]) -> Answer:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.tls:
            connection: Any = http.client.HTTPSConnection(
                host, self.port, timeout=30, context=ssl._create_unverified_context()
            )
        else:
            connection = http.client.HTTPConnection(host, self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, told)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode(errors="replace"))

    def log_in(self, name: str, password: str, host: str = "127.0.0.1", **headers: str) -> str:
        """The cookies of a login that must succeed."""
        answer = self.post("/login", {"username": name, "password": password}, host, **headers)
        assert answer.status == 302, answer.text
        return answer.cookies

    def look(self, path: str, host: str = "127.0.0.1", **headers: str) -> Answer:
        """What a browser shows: the page and the document of the session that was made for it."""
        answer = self.get(path, host, **headers)
        found = re.search(r'"token":"([^"]+)"', answer.text)
        if found:
            kept = {name: value for name, value in headers.items() if name in ("Cookie", "Origin")}
            answer.text += self.pull(path.partition("?")[0], found.group(1), host, **kept)
        return answer

    def pull(self, path: str, token: str, host: str = "127.0.0.1", **headers: str) -> str:
        """The document of the session in `token`, asked for by a WebSocket alone; empty if the server hung up."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        return asyncio.run(asyncio.wait_for(_pull(f"ws://{host}:{self.port}{path}/ws", token, told), 30))

    def hold(self, path: str, token: str, then: Callable[[], None], **headers: str) -> str:
        """The document of the session in `token`, once the server hangs up by itself after `then`."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"ws://127.0.0.1:{self.port}{path}/ws"
        return asyncio.run(asyncio.wait_for(_hold(url, token, told, then), 60))

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join(30)
        self.process.stdout.close()
        return code

    def wait_for(self, text: str) -> None:
        """Until the server has said `text`; fails with what it said instead."""
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(text,))
        self._reader.start()
        if not self._ready.wait(90) or text not in self.said:
            self.stop(signal.SIGKILL)
            pytest.fail(f"the server did not say {text!r}, but:\n{self.said}")

    def _read(self, text: str) -> None:
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                self._ready.set()
        self._ready.set()


async def _hold(url: str, token: str, headers: dict[str, str], then: Callable[[], None]) -> str:
    connection, told = await _ask(url, token, headers)
    then()
    while await connection.read_message() is not None:
        pass
    connection.close()
    return json.dumps(told[2])


async def _pull(url: str, token: str, headers: dict[str, str]) -> str:
    connection, told = await _ask(url, token, headers)
    connection.close()
    while told and await connection.read_message() is not None:  # until the other side has closed, too
        pass
    return json.dumps(told[2]) if told else ""


async def _ask(url: str, token: str, headers: dict[str, str]) -> tuple[Any, list[Any]]:
    """An open WebSocket, and the answer that holds the document; empty if the server hung up."""
    connection = await websocket_connect(HTTPRequest(url, headers=headers), subprotocols=["bokeh", token])
    told = await _message(connection)  # the acknowledgement
    asked = Protocol().create("PULL-DOC-REQ")
    for part in (asked.header_json, asked.metadata_json, asked.content_json) if told else ():
        await connection.write_message(part)
    while told and told[0]["msgtype"] != "PULL-DOC-REPLY":
        told = await _message(connection)
    return connection, told


async def _message(connection: Any) -> list[Any]:
    """Header, metadata and content; empty if the other side hung up."""
    parts = []
    for _ in range(3):
        part = await connection.read_message()
        if part is None:
            return []
        parts.append(json.loads(part))
    for _ in range(2 * parts[0].get("num_buffers", 0)):
        await connection.read_message()
    return parts


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def own_address() -> str:
    """An address of this machine that is not loopback."""
    found = [a.address for every in psutil.net_if_addrs().values() for a in every if a.family == socket.AF_INET]
    others = [address for address in found if not address.startswith("127.")]
    if not others:
        pytest.skip("this machine has no address but loopback")
    return others[0]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """For a subprocess whose pages are the stand-ins and whose secrets lie in ``folder/secrets``."""
    stand = folder / "stand"
    stand.mkdir(parents=True, exist_ok=True)
    (stand / "stand_in.py").write_text(_STAND)
    (stand / "sitecustomize.py").write_text(_CUSTOM)
    told = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PANEL_", "BOKEH_", "WORKBENCH_DASH_"))
    }
    secrets = {"WORKBENCH_DASH_SECRETS": str(folder / "secrets"), "PYTHONUNBUFFERED": "1"}
    return {**told, "PYTHONPATH": os.pathsep.join([str(stand), str(ROOT)]), **secrets, **more}


def serve_dash(folder: Path, *args: str, port: int | None = None, tls: bool = False, **more: str) -> Served:
    """`workbench dash`."""
    port = port or free_port()
    command = [sys.executable, "-m", "workbench.cli", "dash", "--no-browser", "--port", str(port), *args]
    return _start(command, port, "log in ", environment(folder, **more), folder, tls)


def serve_panel(folder: Path, *args: str, **more: str) -> Served:
    """Plain `panel serve dashboards/*.py` on every interface, for WebSockets from anywhere."""
    port = free_port()
    pages = sorted(map(str, (ROOT / "dashboards").glob("*.py")))
    command = [sys.executable, "-m", "panel", "serve", *pages, "--address", "0.0.0.0", "--port", str(port)]
    command += ["--allow-websocket-origin", "*", *args]
    return _start(command, port, "/research", environment(folder, **more), folder)


def _start(command: list[str], port: int, text: str, env: dict[str, str], folder: Path, tls: bool = False) -> Served:
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    served = Served(subprocess.Popen(command, env=env, cwd=folder, **pipe), port, tls=tls)
    served.wait_for(text)
    return served
