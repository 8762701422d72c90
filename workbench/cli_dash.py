"""`workbench dash`: the dashboards, and who may see them."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.core.errors import ConfigError

dash_app = typer.Typer(add_completion=False, rich_markup_mode=None)
user_app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Who may see the dashboards, and as what."
)
dash_app.add_typer(user_app, name="user")

Name = Annotated[str, typer.Argument(help="Name to log in by; as OAuth gives it with --no-password.")]


@dash_app.callback(invoke_without_command=True)
def dash(
    context: typer.Context,
    folder: Annotated[Path | None, typer.Option("--folder", help="Folder of the engine. [default: runs/live]")] = None,
    journal: Annotated[str | None, typer.Option("--journal", help="URL of the journal, if it is elsewhere.")] = None,
    commands: Annotated[str | None, typer.Option("--commands", help="URL of the commands, if elsewhere.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Key file that signs commands, if elsewhere.")] = None,
    job: Annotated[Path | None, typer.Option("--job", help="Folder of the research. [default: runs/demo]")] = None,
    desk: Annotated[Path | None, typer.Option("--desk", help="Folder of the schedule. [default: runs/desk]")] = None,
    address: Annotated[
        str, typer.Option("--address", help="Where to listen; other machines need users.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65_535)] = 5006,
    origin: Annotated[
        list[str] | None, typer.Option("--origin", help="HOST:PORT under which people come, as by a proxy; repeatable.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the link and open nothing.")] = False,
    oauth: Annotated[
        str, typer.Option("--oauth", help="github, google, azure, ...: PANEL_OAUTH_KEY and _SECRET in the environment.")
    ] = "",
    certificate: Annotated[Path | None, typer.Option("--certificate", help="PEM file for TLS.")] = None,
    key_file: Annotated[Path | None, typer.Option("--key-file", help="PEM file of its private key.")] = None,
) -> None:
    """Dashboards of what is believed, held and done; of the research; and of what execution cost.

    Example: workbench dash --folder runs/live

    Example: workbench dash --address 0.0.0.0 --certificate cert.pem --key-file key.pem

    Example: workbench dash user add ann --role operator
    """
    from workbench.dash.serve import Place, serve
    from workbench.dash.settings import DashSettings

    if context.invoked_subcommand is not None:
        return
    for path, option in ((certificate, "--certificate"), (key_file, "--key-file")):
        if path and not path.is_file():
            raise ConfigError(f"{option} {path} is no file")
    told = {"folder": folder, "journal": journal, "commands": commands, "key": str(key) if key else None}
    told |= {"job": job, "desk": desk}
    given = {name: value for name, value in told.items() if value is not None}
    settings = dataclasses.replace(DashSettings.from_environment(), **given)  # type: ignore[arg-type]
    place = Place(address, port, tuple(_origin(o) for o in origin or ()), certificate, key_file)
    serve(settings, place, open_browser=not no_browser, oauth=oauth)


@dash_app.command()
def export(
    session: Annotated[str, typer.Argument(help="Id of the session; empty for the last one.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="File to write. [default: SESSION.html]")] = None,
    folder: Annotated[Path | None, typer.Option("--folder", help="Folder of the engine. [default: runs/live]")] = None,
    journal: Annotated[str | None, typer.Option("--journal", help="URL of the journal, if it is elsewhere.")] = None,
) -> None:
    """Write one session as one HTML file for the record: it needs no server and no network.

    Example: workbench dash export --folder runs/live --out monday.html
    """
    from workbench.dash.export import export_session
    from workbench.dash.feed import last_session
    from workbench.dash.settings import DashSettings

    told = {name: value for name, value in (("folder", folder), ("journal", journal)) if value is not None}
    settings = dataclasses.replace(DashSettings.from_environment(), **told)  # type: ignore[arg-type]
    chosen = session or last_session(settings.journal_address)
    path = out or Path(f"{chosen}.html")
    export_session(settings.journal_address, chosen, path)
    print(f"{path.absolute()}: session {chosen}, {path.stat().st_size / 2**20:.1f} MiB")


@user_app.command("add")
def add(
    name: Name,
    role: Annotated[str, typer.Option("--role", help="viewer: looks; operator: also halts, flattens, ...")] = "viewer",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input: one line.")
    ] = False,
    no_password: Annotated[bool, typer.Option("--no-password", help="Logs in elsewhere (OAuth).")] = False,
) -> None:
    """Add a user; the password is asked for twice and not shown.

    Example: workbench dash user add ann --role operator
    """
    from workbench.dash.users import Users

    if no_password and password_stdin:
        raise ConfigError("--no-password and --password-stdin contradict each other; give one")
    folder = _secrets()
    Users.load(folder).check_new(name, role)  # before a password is asked for
    Users.add(folder, name, role, None if no_password else _password(password_stdin))
    print(f"{name} is {role}")


@user_app.command("list")
def list_users() -> None:
    """Name, role and how they log in.

    Example: workbench dash user list
    """
    from workbench.dash.users import Users

    entries = Users.load(_secrets()).entries
    for name, user in sorted(entries.items()):
        print(f"{name:24} {user.role:9} {'password' if user.hash else 'elsewhere (OAuth)'}")
    if not entries:
        print("nobody; `workbench dash user add NAME --role operator` adds the first")


@user_app.command("remove")
def remove(name: Name) -> None:
    """Take a user out.

    Example: workbench dash user remove ann
    """
    from workbench.dash.users import Users

    Users.remove(_secrets(), name)
    print(f"{name} is removed")


# ---- inside ---------------------------------------------------------------------------------------------------------


def _secrets() -> Path:
    from workbench.dash.settings import DashSettings

    return DashSettings.from_environment().secrets


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    try:
        told: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    except typer.Abort:
        print(file=sys.stderr)
        raise ConfigError("no password was given, so nobody was added") from None
    return told


def _origin(text: str) -> str:
    """HOST:PORT as given; :class:`ConfigError` for anything else, a star above all."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or "*" in text or "/" in text:
        raise ConfigError(f"--origin {text!r} is not HOST:PORT; write for example desk.example.com:443")
    return text.lower()
