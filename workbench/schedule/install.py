"""What makes the scheduler start with the machine: a systemd unit, or a line for crontab. Printed, never installed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from workbench.schedule.attempts import GRACE_S

STOP_S = int(2 * GRACE_S) + 30
"""Seconds that systemd waits: longer than notebooks get to end, or it would kill what is just being saved."""


def command(schedule: Path) -> list[str]:
    """What runs the schedule."""
    return [str(Path(sys.executable).with_name("workbench")), "schedule", "run", "--file", str(schedule.resolve())]


def systemd_unit(schedule: Path) -> str:
    """A unit for ``~/.config/systemd/user/workbench-schedule.service``.

    A user's units start with the machine, and outlive a log out, only after ``loginctl enable-linger``. What notebooks
    and webhook need of the environment stands in a file beside the keys, for systemd has none of a shell's.

    KillMode=process: SIGTERM goes to the scheduler alone, which stops its notebooks in good order; where it is killed
    instead, they go on, and the next scheduler takes them over. Engines are started in units of their own, so that
    stopping this one leaves them to the policy of their job.
    """
    return f"""\
# once, so that it starts with the machine and outlives your log out: loginctl enable-linger
[Unit]
Description=workbench schedule {schedule.resolve()}
After=network-online.target
StartLimitIntervalSec=600
StartLimitBurst=5

[Service]
Type=exec
EnvironmentFile=-%h/.config/workbench/schedule.env
WorkingDirectory={schedule.resolve().parent}
ExecStart={shlex.join(command(schedule))}
KillMode=process
TimeoutStopSec={STOP_S}
Restart=on-failure
RestartSec=10

[Install]
WantedBy=default.target
"""


def crontab_line(schedule: Path) -> str:
    """A line for ``crontab -e``: the scheduler starts with the machine and keeps time by itself."""
    here = shlex.quote(str(schedule.resolve().parent))
    return f"@reboot cd {here} && {shlex.join(command(schedule))} >> schedule.log 2>&1"
