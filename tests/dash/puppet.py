"""A journal that looks as if an engine wrote it: decisions on N symbols and 9 horizons, states and fills, at any pace.

Everything in it is drawn at random from a seed: it shows dashboards under load, and says nothing of trading. Beside
another process: ``python puppet.py FOLDER --symbols 100 --every 1 --for 60``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from workbench.config import Settings
from workbench.core.calendar import iso_time
from workbench.core.horizon import HORIZONS, N_HORIZONS
from workbench.core.types import (
    Alphas,
    Book,
    Carry,
    Choice,
    Costs,
    Decision,
    Features,
    Forecasts,
    ModelKey,
    Phase,
    Snapshot,
    Target,
)
from workbench.core.units import NS_PER_MINUTE, NS_PER_SECOND
from workbench.engine.codec import live_codec
from workbench.engine.modes import Mode
from workbench.engine.plan import EnginePlan
from workbench.journal import SqlJournal

BEGIN = 1_772_461_800 * NS_PER_SECOND  # 2026-03-02 14:30 UTC
BAR = 5 * NS_PER_MINUTE
NAV = 1_000_000.0
FAMILIES = ("LightGBM", "MLP", "LSTM")


class Puppet:
    """Plays the engine of one system `name` over `symbols` symbols; `decide` once a bar."""

    def __init__(
        self, folder: Path, symbols: int, *, name: str = "main", session: str = "puppet", seed: int = 0
    ) -> None:
        self.symbols = tuple(f"S{i:03d}" for i in range(symbols))
        self.name, self.bars, self.nav = name, 0, NAV
        self._rng = np.random.default_rng(seed)
        self._price = self._rng.uniform(20, 400, symbols)
        self._weights = np.zeros(symbols)
        folder.mkdir(parents=True, exist_ok=True)
        self.journal = SqlJournal(folder / "journal.db", session=session, codec=live_codec())
        settings = Settings().change(system={"name": name, "symbols": self.symbols}, live={"folder": str(folder)})
        about = {"account": "DU0000001", "kind": "simulated", "runtime": {}, "bundles": {},
                 "plan": EnginePlan((settings,)).to_public_json()}  # fmt: skip
        self.journal.record("engine", BEGIN, about)
        self.journal.beat("trading")

    def decide(self) -> Decision:
        """The next bar: a decision, a fill, the state after it and a sign of life."""
        self.bars += 1
        ts, rng, n = BEGIN + self.bars * BAR, self._rng, len(self.symbols)
        self._price = self._price * (1 + rng.normal(0, 1e-3, n))
        self.nav += float(rng.normal(0, 50))
        snapshot, decision = self._snapshot(ts), self._decision(ts)
        book = self._book(ts)
        payload = {
            "decision": decision,
            "book": book,
            "snapshot": snapshot,
            "mode": Mode.LIVE,
            "digest": decision.digest,
        }
        self.journal.record("decision", ts, payload, system=self.name)
        self._weights = np.array(decision.target.weights)
        self._fill(ts, int(rng.integers(n)))
        self.journal.record("state", ts + 1, self._state(ts, decision))
        self.journal.beat("trading")
        return decision

    def close(self, phase: str = "") -> None:
        """Leave: without a word as a crash does, or with the last sign of life in `phase`."""
        if phase:
            self.journal.beat(phase)
        self.journal.close()

    # ---- inside -----------------------------------------------------------------------------------------------

    def _snapshot(self, ts: int) -> Snapshot:
        n, rng, price = len(self.symbols), self._rng, self._price
        spread, sigma = np.full(n, 2e-4), rng.uniform(0.01, 0.03, n)
        of_day = np.array([[h.minutes / 390] for h in HORIZONS])
        some = Features(("a", "b"), rng.normal(size=(n, 2)), np.zeros((n, 0, 2)))
        return Snapshot(
            known_at=ts, symbols=self.symbols, features=some, daily=some, price=price, bid=price * (1 - 1e-4),
            ask=price * (1 + 1e-4), bid_size=np.full(n, 300.0), ask_size=np.full(n, 300.0),
            quote_age_s=np.ones(n), spread=spread, sigma_5m=sigma / np.sqrt(78), sigma_1d=sigma,
            sigma_h=np.sqrt(of_day) * sigma, expected_volume=of_day * np.full(n, 2e6), correlation=np.eye(n),
            leverage=np.ones(n), halted=np.zeros(n, bool), shortable=np.ones(n, bool), eligible=np.ones(n, bool),
            horizon_open=np.ones(N_HORIZONS, bool), session=20_514, bar_of_session=self.bars % 78,
            minutes_to_close=200.0, bucket=2, phase=Phase.OPEN,
        )  # fmt: skip

    def _decision(self, ts: int) -> Decision:
        n, rng = len(self.symbols), self._rng
        keys = tuple(ModelKey(f, "single_task", h.label) for h in HORIZONS for f in FAMILIES)
        p_peak, p_valley = rng.uniform(0.2, 0.8, (2, N_HORIZONS, n))
        forecasts = Forecasts(keys, rng.normal(0, 1e-3, (len(keys), n)), p_peak, p_valley)
        alpha = rng.normal(0, 8e-4, (N_HORIZONS, n))
        alpha[:, : n // 20] = np.nan  # some are unknown
        part = np.full(n, 5e-5)
        costs = Costs(np.full((N_HORIZONS, n), 2e-4), part, part, part, part)
        share = rng.dirichlet(np.ones(N_HORIZONS), n).T
        rate = np.nan_to_num(alpha[0]) * 78
        choice = Choice(np.sign(rate) * np.maximum(np.abs(rate) - 1e-2, 0), rate, share, np.zeros(n, int), np.zeros(n))
        gate, desired = rng.uniform(0.2, 1, n), np.clip(rate / np.abs(rate).sum() * 0.5, -0.05, 0.05)
        carry = Carry(alpha, gate, np.zeros(n), np.zeros(n, int), 20_514, self._price)
        return Decision(ts, self.symbols, forecasts, Alphas(alpha, alpha), costs, choice, gate, desired,
                        Target(desired, np.ones(n, bool)), carry, (), "config", "artifacts", "snapshot")  # fmt: skip

    def _book(self, ts: int) -> Book:
        n = len(self.symbols)
        carry = Carry.empty(n)
        shares = np.round(self._weights * self.nav / self._price)
        return Book(
            ts, self.symbols, shares, self._weights, self.nav, self.nav, NAV, max(self.nav, NAV), 0.1, (), carry
        )

    def _fill(self, ts: int, i: int) -> None:
        fill = {"exec_id": f"{self.bars:08d}.01", "order_ref": f"o{self.bars}", "symbol": self.symbols[i], "side": 1,
                "quantity": 10, "price": float(self._price[i]), "mid": None, "time": ts + 1}  # fmt: skip
        self.journal.record("fill", ts + 1, {"fill": fill})
        self.journal.record("commission", ts + 1, {"exec_id": fill["exec_id"], "amount": 1.0})

    def _state(self, ts: int, decision: Decision) -> dict[str, Any]:
        weights = {s: float(w) for s, w in zip(self.symbols, self._weights) if w}
        one = {
            "symbols": list(self.symbols), "mode": "LIVE", "reason": "as it started", "demo_bundle": False,
            "bundle": "puppet", "weights": weights,
            "positions": {s: int(w * self.nav / 100) for s, w in weights.items()},
            "nav": self.nav, "cash": self.nav, "gross": float(np.abs(self._weights).sum()),
            "net": float(self._weights.sum()), "profit_today": self.nav - NAV, "drawdown": 0.0, "held_back": [],
            "last_decision": {"at": iso_time(ts), "digest": decision.digest, "target": weights, "breaches": []},
        }  # fmt: skip
        latency = {"count": self.bars, "unknown": 0, "p50_s": 0.01, "p95_s": 0.02, "p99_s": 0.03, "max_s": 0.04}
        return {
            "phase": "trading", "error": "", "session": self.journal.session, "plan": "", "heartbeat_s": 1.0,
            "account": "DU0000001", "kind": "simulated", "time": iso_time(ts + NS_PER_SECOND), "connected": True,
            "reconciled": True, "reports": 3 * self.bars, "orders_last_minute": self.bars % 7, "cycles": self.bars,
            "missed": 0, "last_bar": iso_time(ts), "open_orders": [], "outside": {},
            "metrics": {"counters": {}, "latencies": {"decide": latency, "cycle": latency}},
            "systems": {self.name: one},
        }  # fmt: skip


def main() -> None:
    """Write until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--symbols", type=int, default=100)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two bars")
    parser.add_argument("--for", dest="seconds", type=float, default=60.0, help="seconds to go on for")
    arguments = parser.parse_args()
    puppet = Puppet(arguments.folder, arguments.symbols)
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < arguments.seconds:
        puppet.decide()
        time.sleep(max(0.0, puppet.bars * arguments.every - passed))
    puppet.close()


if __name__ == "__main__":
    main()
