"""The record of a workspace's runs: one folder per combination of data, settings and code, and how they compare.

``runs/<id>/`` holds ``run.json`` (what went in, what came out), ``config.toml`` and pictures. The id is the digest of
what went in, so that repeating a run finds its folder and changing anything opens another.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench import __version__
from workbench.analysis.zoo import ZooCell, zoo_figure
from workbench.core.digest import digest
from workbench.core.errors import DataError, nearest_name
from workbench.research.job import Job
from workbench.research.workspace import Workspace, code_digest, write_atomically

FOLDER, FILE = "runs", "run.json"
ID_LENGTH = 12
PAGE = '<!doctype html><meta charset="utf-8"><title>{title}</title><style>{style}</style><h1>{title}</h1>{body}'
CAPTION = (
    "Out-of-fold information coefficient of every model and horizon. A dot: better than a constant, corrected for the "
    "models of its horizon. A percentage: weight in the blend."
)
STYLE = """
body{font:14px/1.4 system-ui,sans-serif;margin:2em auto;max-width:1000px;background:var(--paper);color:var(--ink)}
:root{--ink:#1c2430;--muted:#5c6672;--rule:#d5dae0;--paper:#fff;--sans:system-ui,sans-serif}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--muted:#9aa5b1;--rule:#3a4350;--paper:#14181d}}
"""


def record(job: Job, done: Sequence[str], cells: list[ZooCell] | None = None) -> Path:
    """Write, or bring up to date, the folder of the run that the workspace is at; `cells` draws the zoo.

    `done`: the steps that were done, or found up to date, with what goes into this run. What the workspace remembers of
    others may come from other settings; it stays out.
    """
    folder = job.ws.root / FOLDER / run_id(job)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "config.toml", job.ws.settings.to_toml())
    known = _read(folder / FILE) if (folder / FILE).is_file() else {}
    records = {k: v for k, v in job.ws.records.items() if k in done}
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    about = {
        "id": folder.name,
        "first": known.get("first", now),
        "last": now,
        "code": {"version": __version__, "digest": code_digest(), "commit": _commit()},
        "data": job.data_digest,
        "settings": job.ws.settings.digest,
        "families": job.families_digest,
        "metrics": known.get("metrics", {}) | metrics(records),
        "steps": known.get("steps", {}) | {k: v["seconds"] for k, v in records.items()},
    }
    write_atomically(folder / FILE, json.dumps(about, indent=1, sort_keys=True))
    if cells:
        body = f"<p>{CAPTION}</p>{zoo_figure(cells)}"
        write_atomically(folder / "zoo.html", PAGE.format(title=f"Models of run {folder.name}", style=STYLE, body=body))
    return folder


def run_id(job: Job) -> str:
    """Digest of data, settings and code, that of a user's own and brought families too."""
    return digest(job.data_digest, job.ws.settings.digest, code_digest(), job.families_digest)[:ID_LENGTH]


def metrics(records: dict[str, Any]) -> dict[str, Any]:
    """The numbers by which runs are compared, of the steps done so far."""
    train, blend, backtest, report = (records.get(s, {}).get("outcome", {}) for s in _STEPS)
    out: dict[str, Any] = {}
    if train:
        out |= {"models": train["models"], "fitted": train["fitted"], "abstained": len(train["abstained"]),
                "beat_a_constant": train.get("beat_a_constant"), "probe_passed": train["probe"]["passed"]}  # fmt: skip
        out |= {f"best_ic.{label}": best["ic"] for label, best in train.get("best", {}).items()}
    out |= {f"slope.{label}": fit["slope"] for label, fit in blend.get("horizons", {}).items()}
    out |= {name: backtest[name] for name in ("net_return", "naive_return", "orders") if name in backtest}
    return out | ({"verdict": report["verdict"]} if "verdict" in report else {})


_STEPS = ("train", "blend", "backtest", "report")


def runs(out: Path) -> dict[str, Any]:
    """All runs of the workspace, the latest first."""
    root = Workspace.existing(out).root / FOLDER
    found = [_read(p) for p in root.glob(f"*/{FILE}")]
    return {"runs": sorted(found, key=lambda r: str(r["last"]), reverse=True)}


def compare(out: Path, ids: tuple[str, str]) -> dict[str, Any]:
    """What differs between two runs: settings, inputs and metrics, each as [of the first, of the second]."""
    root = Workspace.existing(out).root / FOLDER
    one, two = (_find(root, wanted) for wanted in ids)
    settings = [_flat(_toml(root / r["id"] / "config.toml")) for r in (one, two)]
    inputs = [
        {k: r.get(k) for k in ("data", "settings", "families")} | {f"code.{k}": v for k, v in r["code"].items()}
        for r in (one, two)
    ]
    return {
        "runs": [one["id"], two["id"]],
        "inputs": _differences(*inputs),
        "settings": _differences(*settings),
        "metrics": _differences(one["metrics"], two["metrics"]),
    }


def _differences(one: dict[str, Any], two: dict[str, Any]) -> dict[str, list[Any]]:
    return {k: [one.get(k), two.get(k)] for k in sorted({*one, *two}) if one.get(k) != two.get(k)}


def _find(root: Path, wanted: str) -> dict[str, Any]:
    names = sorted(p.parent.name for p in root.glob(f"*/{FILE}"))
    found = [n for n in names if n.startswith(wanted)]
    if len(found) != 1:
        held = ", ".join(found or names) or "none"
        raise DataError(f"{len(found)} runs are called {wanted}; {root} holds {held}.{nearest_name(wanted, names)}")
    return _read(root / found[0] / FILE)


def _read(path: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); remove the folder and run the step again") from None
    return about


def _toml(path: Path) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(path.read_text(encoding="utf-8"))


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return out


def _commit() -> str:
    """Commit of the working tree that the package lies in, with "+" where it was changed; "" where it is installed."""
    here = Path(__file__).parent
    asked = [["git", "ls-files", "--error-unmatch", Path(__file__).name],  # an environment inside another repository
             ["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"]]  # fmt: skip
    try:
        _, head, changed = (
            subprocess.run(a, cwd=here, capture_output=True, text=True, timeout=10, check=True).stdout for a in asked
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.strip() + ("+" if changed.strip() else "")
