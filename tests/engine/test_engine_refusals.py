"""What an engine cannot start with: one clear message, phase "failed", and not one order at the broker."""

from __future__ import annotations

import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.artifacts import load_bundle, save_blender
from workbench.artifacts.verified import write_folder
from workbench.config import Settings
from workbench.core.errors import WorkbenchError
from workbench.core.types import schema_hash
from workbench.engine import process
from workbench.engine.plan import EnginePlan
from workbench.engine.process import Engine
from workbench.engine.status import read_status
from workbench.gateway.simulated import SimulatedGateway
from workbench.journal import SqlJournal

sys.path.insert(0, str(Path(__file__).parent.parent / "live"))
from rig import FROZEN, START, loud_bundle, trading_settings


@pytest.fixture(scope="module")
def gateway() -> Iterator[SimulatedGateway]:
    with SimulatedGateway(speed=FROZEN, start=START) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return loud_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """An engine takes the signals of its process."""
    before = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def unreachable(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Nobody listens at the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return settings.change(broker={"port": port, "connect_timeout_s": 1.0})


def read_only(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The journal lies where not even root may write."""
    return settings.change(live={"journal": "/proc/journal.db"})


def no_database(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Something else lies where the journal should be."""
    (Path(settings.live.folder) / "journal.db").write_text("a shopping list\n" * 300)
    return settings


def full_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """While the journal is made, no file of this process may grow beyond a page: the write fails as on a full disk."""

    def made(*arguments: Any, **options: Any) -> SqlJournal:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            return SqlJournal(*arguments, **options)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(process, "SqlJournal", made)
    return settings


def other_schema(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Another bundle, whole and consistent, whose models read a feature that nothing live computes."""
    shipped = load_bundle(Path(settings.system.model_dir), Path(settings.system.blender_dir))
    old, made = shipped.models.folder, Path(settings.live.folder) / "trained"
    about = {k: v for k, v in old.manifest.items() if k not in ("files", "format", "version")}
    names = ("moon_phase", *shipped.models.names[1:])
    about["schemas"] = {**about["schemas"], "bars": {"names": list(names), "hash": schema_hash(names)}}
    files = {name: old.read(name) for name in old.names}
    models = write_folder(made / "models", old.manifest["format"], old.manifest["version"], about, files)
    save_blender(made / "blenders", made / "models", models, shipped.parts, fitted_until=shipped.fitted_until)
    return settings.change(system={"model_dir": str(made / "models"), "blender_dir": str(made / "blenders")})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (unreachable, r"127\.0\.0\.1:\d+"),
        (read_only, r"journal /proc/journal\.db"),
        (no_database, r"journal .*journal\.db"),
        (full_disk, r"journal .*journal\.db cannot be opened: disk .*; check the path and its disk"),
        (other_schema, "moon_phase"),
    ],
)
def test_an_engine_says_why_it_cannot_start_and_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gateway: SimulatedGateway, bundle: tuple[str, str],
    spoil: Callable[[Settings, pytest.MonkeyPatch], Settings], message: str,
) -> None:  # fmt: skip
    broker = {"host": "127.0.0.1", "port": gateway.port}
    settings = spoil(trading_settings(bundle, broker=broker, live={"folder": str(tmp_path)}), monkeypatch)
    watched = []
    monkeypatch.setattr(Engine, "_watch_over", lambda self: watched.append(self))
    engine = Engine(EnginePlan((settings,)), tmp_path, "s1")
    with pytest.raises(WorkbenchError, match=message) as caught:
        engine.run(None)
    engine.close()
    status = read_status(tmp_path)
    assert (status["phase"], status["error"], status["alive"]) == ("failed", str(caught.value), False)
    assert watched == []
    assert gateway.brokerage.register.open() == []
    assert gateway.brokerage.positions() == ()
