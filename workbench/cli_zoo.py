"""The commands about the zoo's models: bringing one of your own, promoting a bundle, and going back."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli_output import console, show
from workbench.core.errors import ConfigError, nearest_name

if TYPE_CHECKING:
    from workbench.research.candidate import CandidateReport

zoo_app = typer.Typer(
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Out = Annotated[Path, typer.Option("--out", help="Workspace folder; everything a job makes lies there.")]
Json = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust-pickle",
        help="Read a joblib or pickle file of YOUR OWN scikit-learn model: reading it can run any code. Only the ONNX "
        "made of it is kept.",
    ),
]
DEFAULT_OUT = Path("runs/default")


@zoo_app.callback()
def zoo(
    context: typer.Context,
    families: Annotated[str | None, typer.Option("--families", help="Only these, comma-separated.")] = None,
    out: Out = DEFAULT_OUT,
    as_json: Json = False,
) -> None:
    """The models of a workspace: out-of-fold IC, test against a constant, live weight, size, latency; `add` brings one.

    Example: workbench zoo --out runs/mine --families LightGBM,XGBoost
    """
    if context.invoked_subcommand is not None:
        return
    from workbench.research.zoo import zoo as survey

    found = survey(out)
    if families is not None:
        wanted = [name.strip() for name in families.split(",")]
        known = sorted({c["family"] for c in found["cells"]})
        for name in wanted:
            if name not in known:
                raise ConfigError(
                    f"family {name!r} is unknown: choose from {', '.join(known)}.{nearest_name(name, known)}"
                )
        found["cells"] = [c for c in found["cells"] if c["family"] in wanted]
    if as_json:
        show(found, True)
    else:
        print_cells(found["cells"])


@zoo_app.command("add")
def add(
    model: Annotated[Path, typer.Argument(help="ONNX file: (rows, features) float32 to (rows,) sigmas of return.")],
    horizon: Annotated[list[str], typer.Option("--horizon", help="Horizon that it forecasts, e.g. 30m; repeatable.")],
    schema: Annotated[
        Path | None, typer.Option("--schema", help="Names of its inputs in order: JSON list, or one per line.")
    ] = None,
    fitted_until: Annotated[
        str | None, typer.Option("--fitted-until", help="Last day (2025-06-30) or time that it knows; default now.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Its name in the zoo; default the file's.")] = None,
    trust_pickle: Trust = False,
    out: Out = DEFAULT_OUT,
    as_json: Json = False,
) -> None:
    """Bring a model of your own: an ONNX file, checked and proved on random rows before it is kept.

    Example: workbench zoo add model.onnx --horizon 30m --schema features.json --fitted-until 2025-06-30

    Example: workbench zoo add model.joblib --horizon 30m --trust-pickle
    """
    from workbench.research.bring import bring, moment

    until = moment(fitted_until) if fitted_until else None
    show(bring(out, model, horizon, until, schema, name, trust_pickle), as_json)


def promote(
    out: Out = DEFAULT_OUT,
    bundle: Annotated[str | None, typer.Option("--bundle", help="Id of the bundle; default the last one.")] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="Your private key; default ~/.config/workbench/promotion.key.")
    ] = None,
    note: Annotated[str, typer.Option("--note", help="Who promotes it and why; becomes part of the signature.")] = "",
    despite: Annotated[
        str, typer.Option("--despite", help="Why a candidate that is red is promoted; becomes part of the signed note.")
    ] = "",
    automatic: Annotated[
        bool, typer.Option("--automatic", help="Promote only if every check passed; asks nobody.")
    ] = False,
    new_key: Annotated[bool, typer.Option("--new-key", help="Make a key and do nothing else.")] = False,
    as_json: Json = False,
) -> None:
    """Examine the candidate that training left, sign it with your own key, and put it in force.

    A candidate that is red is refused, one that could not be examined whole is promoted with a warning. The passphrase
    is asked for, or read from the file that $WORKBENCH_KEY_PASSPHRASE_FILE names (mode 0600).

    Example: workbench promote --new-key

    Example: workbench promote --out runs/mine --note "J. Doe, after the review of 30 June"
    """
    from workbench.research import promotion, promotion_key

    def ask() -> bytes:
        return promotion_key.passphrase_from_file(out) or _prompt(twice=new_key)

    if automatic and (bundle or note or despite or new_key):
        raise ConfigError("--automatic takes --out and --key only: what a person decides, a person signs")
    if new_key:
        show(promotion_key.make_key(ask, key, out), as_json)
    elif automatic:
        done = promotion.promote_if_green(out, key)
        show(done or {"promoted": "nothing: the candidate is in force already"}, as_json)
    else:
        how = {"bundle": bundle, "key": key, "note": note, "despite": despite}
        show(promotion.promote(out, ask, **how, tell=_print_report), as_json)


def rollback(
    out: Out = DEFAULT_OUT,
    to: Annotated[
        str | None, typer.Option("--to", help="Id of a bundle that was signed before; default the one before.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show what was in force when, and change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Put the bundle that was in force before in force again, at once; a second time goes one step further back.

    Nothing is trained and no key is needed; the signature is verified. An engine that runs goes on with what it loaded.

    Example: workbench rollback --out runs/mine

    Example: workbench rollback --out runs/mine --list
    """
    from workbench.research import promotion

    if listed and to:
        raise ConfigError("--list changes nothing; leave it away to go back to --to")
    if not listed:
        show(promotion.rollback(out, to), as_json)
    elif as_json:
        show({"changes": promotion.changes(out)}, True)
    else:
        _print_changes(promotion.changes(out))


WORDS = {True: "passed", False: "FAILED", None: "unsure"}


def _print_report(report: CandidateReport) -> None:
    """The checks on standard error, before anything is signed."""
    print(f"candidate {report.candidate} is {report.verdict}", file=sys.stderr)
    for check in report.checks:
        print(f"  {WORDS[check.passed]:<8}{check.name}: {check.detail}", file=sys.stderr)
    if report.of(None):
        print("  what is unsure has not passed: look at it before you sign", file=sys.stderr)


def _print_changes(rows: list[dict[str, Any]]) -> None:
    """The history, the last change last."""
    from rich.table import Table

    columns = ("at", "what", "bundle", "key", "note", "state")
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    console().print(table if rows else "nothing was ever promoted")


def _prompt(*, twice: bool) -> bytes:
    """The passphrase from the keyboard, unseen."""
    if not _keyboard():
        raise ConfigError(
            "there is no terminal to ask for the passphrase: run it in one, or let $WORKBENCH_KEY_PASSPHRASE_FILE name "
            "a file of mode 600 that holds it"
        )
    first = getpass.getpass("Passphrase of the promotion key: ")
    if twice and getpass.getpass("The same again: ") != first:
        raise ConfigError("the two passphrases differ; no key was made")
    return first.encode()


def _keyboard() -> bool:
    return sys.stdin.isatty()


def runs(
    ids: Annotated[list[str] | None, typer.Argument(help="Two runs to compare; none: list all.")] = None,
    out: Out = DEFAULT_OUT,
    as_json: Json = False,
) -> None:
    """The runs of a workspace: what went into each and what came out; two ids are compared.

    Example: workbench runs --out runs/mine

    Example: workbench runs 3f2a 91bc --out runs/mine
    """
    from workbench.research import experiments

    if ids and len(ids) != 2:
        raise ConfigError(f"{len(ids)} run is named; name two to compare, or none for the list")
    if ids:
        show(experiments.compare(out, (ids[0], ids[1])), as_json)
        return
    found = experiments.runs(out)
    if as_json:
        show(found, True)
    else:
        _print_runs(found["runs"], out)


def _print_runs(found: list[dict[str, Any]], out: Path) -> None:
    from rich.table import Table

    table = Table("run", "last", "models", "beat a constant", "best IC", "net return", "code", box=None)
    for run in found:
        m = run["metrics"]
        best = max(((m[k], k.removeprefix("best_ic.")) for k in m if k.startswith("best_ic.")), default=None)
        net = f"{100 * m['net_return']:+.2f} %" if "net_return" in m else ""
        commit = run["code"]["commit"]
        code = commit[:7] + ("+" if commit.endswith("+") else "") if commit else run["code"]["version"]
        table.add_row(run["id"], run["last"], str(m.get("fitted", "")), str(m.get("beat_a_constant", "")),
                      f"{best[0]:.3f} at {best[1]}" if best else "", net, code)  # fmt: skip
    console().print(table)
    print(f"each lies in {out / 'runs'}; `workbench runs ID ID` compares two")


def print_zoo(out: Path) -> None:
    """The zoo of a workspace as a table."""
    from workbench.research.zoo import zoo as survey

    print_cells(survey(out)["cells"])


def print_cells(cells: list[dict[str, Any]]) -> None:
    """A row per family and strategy, a column per horizon: the out-of-fold IC, starred where it beats a constant."""
    from rich.table import Table

    from workbench.core.horizon import HORIZONS
    from workbench.research.zoo import SYMBOLS

    asked = [c for c in cells if c["supported"] and (c["trained"] or c["ic"] is not None or c["reason"])]
    labels = [h.label for h in HORIZONS if any(c["horizon"] == h.label for c in asked)]
    table = Table("family", "strategy", *labels, "KB", "ms", box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify, column.no_wrap = "right", True
    for family, strategy in dict.fromkeys((c["family"], c["strategy"]) for c in asked):
        mine = {c["horizon"]: c for c in asked if (c["family"], c["strategy"]) == (family, strategy)}
        size = sum(c["bytes"] for c in mine.values()) / 1e3
        wait = sum(c["latency_ms"] or 0.0 for c in mine.values())
        table.add_row(
            family, strategy, *(_cell_text(mine.get(label)) for label in labels), f"{size:.0f}", f"{wait:.1f}"
        )
    console().print(table)
    beat, weighed = (sum(bool(c[name]) for c in asked) for name in ("beats_constant", "weight"))
    print(
        f"{sum(c['trained'] for c in asked)} of {len(cells)} cells trained; {beat} beat a constant (*, corrected for "
        f"the models of the horizon), {weighed} have weight in the blender (bold); KB and ms ({SYMBOLS} symbols): all "
        "horizons"
    )


def _cell_text(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return ""
    if cell["ic"] is None:
        return "[dim]silent[/dim]" if cell["trained"] else "[dim]-[/dim]"
    text = f"{cell['ic']:.3f}".replace("0.", ".", 1) + ("*" if cell["beats_constant"] else " ")
    return f"[bold]{text}[/bold]" if cell["weight"] else text
