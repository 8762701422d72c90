"""Parameters of a notebook, checked against its `parameters` cell before anything is launched.

papermill itself only warns of a name that the notebook does not know, and enforces no type.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from papermill import inspect_notebook
from pydantic import TypeAdapter, ValidationError

from workbench.core.errors import ConfigError, nearest_name

TYPES: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict}
"""Types that a parameters cell may name."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One line of a parameters cell: ``name: kind = default  # help``."""

    name: str
    kind: str
    default: Any
    help: str


def known_parameters(notebook: Path) -> dict[str, Parameter]:
    """The parameters of a notebook by name; :class:`ConfigError` where its cell declares one without type or value."""
    if not notebook.is_file():
        raise ConfigError(
            f"notebook {notebook} does not exist.{nearest_name(notebook.stem, _beside(notebook))} "
            "The walk's notebooks come with the source; desk.notebooks names the folder where they are"
        )
    try:
        told = inspect_notebook(str(notebook))
    except (nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise ConfigError(f"{notebook} is no notebook: {error}") from None
    found = {}
    for name, p in told.items():
        kind = str(p["inferred_type_name"])
        if kind not in TYPES:
            raise ConfigError(
                f"parameter {name!r} of {notebook.name} has the type {kind!r}; declare one of {', '.join(TYPES)}: "
                f"`{name}: str = ...  # what it is`"
            )
        try:
            default = ast.literal_eval(p["default"])
        except (ValueError, SyntaxError):
            raise ConfigError(f"parameter {name!r} of {notebook.name}: {p['default']} is no plain value") from None
        found[name] = Parameter(name, kind, default, str(p["help"]))
    return found


def checked(notebook: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given`, each of the type that the notebook declares; :class:`ConfigError` names what is unknown or does not fit.

    An integer fits a float; nothing else is converted: a word that looks like a number stays a word, and is refused.
    """
    known = known_parameters(notebook)
    if unknown := [name for name in given if name not in known]:
        hint = nearest_name(unknown[0], known)
        there = ", ".join(known) or "none"
        raise ConfigError(f"{notebook.name} has no parameter {unknown[0]!r}.{hint} It has {there}")
    return {name: _fit(known[name], value, notebook) for name, value in given.items()}


def from_words(notebook: Path, words: Mapping[str, str]) -> dict[str, Any]:
    """Parameters typed on a command line as Python values of the declared types; a str is taken as it is written."""
    known = known_parameters(notebook)
    read = {n: w if n not in known or known[n].kind == "str" else _literal(known[n], w) for n, w in words.items()}
    return checked(notebook, read)


def _literal(p: Parameter, word: str) -> Any:
    try:
        return ast.literal_eval({"true": "True", "false": "False"}.get(word, word))
    except (ValueError, SyntaxError):
        raise ConfigError(f"parameter {p.name}={word!r} is no {p.kind}; write for example {p.default!r}") from None


def _fit(p: Parameter, value: Any, notebook: Path) -> Any:
    wanted = value if not isinstance(value, tuple) else list(value)
    try:
        return TypeAdapter(TYPES[p.kind]).validate_python(wanted, strict=True)
    except ValidationError:
        raise ConfigError(
            f"parameter {p.name!r} of {notebook.name} is {value!r}, a {type(value).__name__}; it must be a {p.kind} "
            f"like {p.default!r} ({p.help or 'no help given'})"
        ) from None


def _beside(notebook: Path) -> list[str]:
    return [p.stem for p in sorted(notebook.parent.glob("*.ipynb"))]
