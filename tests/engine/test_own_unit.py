"""An engine that a unit of systemd starts is put into a scope of its own; elsewhere its command is left as it is."""

from __future__ import annotations

import pytest

from workbench.engine.live import own_unit

COMMAND = ["python", "-m", "workbench.engine", "live"]
INSIDE = {"INVOCATION_ID": "1f", "XDG_RUNTIME_DIR": "run"}


def which(name: str) -> str | None:
    return f"bin/{name}"


@pytest.mark.parametrize(
    ("environ", "installed", "root", "expected"),
    [
        (INSIDE, True, True, ["systemd-run", "--scope", "--collect", "--quiet", "--unit=e-1", *COMMAND]),
        (INSIDE, True, False, ["systemd-run", "--scope", "--collect", "--quiet", "--user", "--unit=e-1", *COMMAND]),
        ({"INVOCATION_ID": "1f"}, True, False, COMMAND),  # a system service of a user: there is nobody to ask
        ({"XDG_RUNTIME_DIR": "run"}, True, True, COMMAND),
        (INSIDE, False, True, COMMAND),
    ],
)
def test_a_unit_of_its_own(environ: dict[str, str], installed: bool, root: bool, expected: list[str]) -> None:
    found = own_unit(COMMAND, environ, which if installed else lambda name: None, "e-1", root=root)
    assert found == expected
