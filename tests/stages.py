"""Runs the stages of `make test`, `make test-slow`, `make soak` and `make lint`, and prints what each one took."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTEST = [sys.executable, "-m", "pytest", "-q", "--durations=8", "--durations-min=2"]

PAIRED = [
    "tests/schedule",
    "tests/live/test_scenarios.py",
    "tests/live/test_crashes.py",
    "tests/live/test_faults_machine.py",
    "tests/live/test_kills.py",
    "tests/live/test_accelerated_day.py",
    "tests/notebooks",
    "tests/scenario/test_embedded_market.py",
    "tests/gateway/test_accelerated_day.py",
    "tests/gateway/scenarios",
    "tests/data",
    "tests/execution",
    "tests/test_cli.py",
    "tests/training",
    "tests/journal",
]
"""Slow tests of which two may share the machine: simulated time waits for them, or nothing is measured in them. The
longest come first, so that neither process waits for the other at the end."""
BROWSER = "tests/e2e"
"""Tests in a real browser: an event loop runs beside them, so they have processes of their own."""

LINT = [
    ("ruff", [f"{BIN}/ruff", "check", "."]),
    ("format", [f"{BIN}/ruff", "format", "--check", "."]),
    ("layers", [f"{BIN}/lint-imports", "--no-cache"]),
    ("types", [f"{BIN}/mypy"]),
]
SUITES = {
    "lint": LINT,
    "quick": [
        *LINT,
        ("C++", ["bash", "cpp/run_tests.sh"]),
        ("doctests", [*PYTEST, "--doctest-modules", "workbench"]),
        ("tests", [*PYTEST, "-n", "2", "-m", "not slow and not soak", f"--ignore={BROWSER}", "tests"]),
    ],
    "slow": [
        ("in pairs", [*PYTEST, "-n", "2", "--dist", "loadgroup", "-m", "slow and not soak", "--timeout=1800", *PAIRED]),
        ("browser", [*PYTEST, "-n", "2", "--dist", "loadfile", BROWSER]),
        (
            "slow tests",
            [
                *PYTEST,
                "-s",
                "-m",
                "slow and not soak",
                "--timeout=1800",
                *(f"--ignore={p}" for p in (*PAIRED, BROWSER)),
                "tests",
            ],
        ),
    ],
    "soak": [("soak", [*PYTEST, "-s", "-m", "soak", "--timeout=14400", "tests"])],
}


def run(suite: str) -> int:
    """Every stage of `suite` in turn; a failing stage does not hide the next ones. The number that failed."""
    outcome = []
    # hundreds of processes start in a suite: not one of them compiles what another has compiled
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for name, command in SUITES[suite]:
        print(f"=== {name}", flush=True)
        start = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        if code == 5 and suite in ("slow", "soak"):
            print(f"{name}: no test is marked for this suite")
            code = 0
        outcome.append((name, code, time.monotonic() - start))
    print(f"\n=== {suite}: stages")
    for name, code, seconds in outcome:
        print(f"  {name:<12} {'ok' if code == 0 else f'FAILED ({code})':<12} {seconds:7.1f} s")
    return sum(code != 0 for _, code, _ in outcome)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in SUITES:
        sys.exit(f"usage: stages.py {'|'.join(SUITES)}")
    sys.exit(1 if run(sys.argv[1]) else 0)
