"""Bringing a model of the user's own into the workspace's zoo (see :mod:`workbench.research.brought_models`)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from datetime import time as clock
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from workbench.artifacts.verified import write_folder
from workbench.core.calendar import iso_time
from workbench.core.digest import digest
from workbench.core.errors import ArtifactError, ConfigError, DataError, nearest_name
from workbench.core.horizon import Horizon, horizon
from workbench.features.catalogue import catalogue, daily_catalogue
from workbench.models.brought_form import Asked, asked, normalise
from workbench.models.fitted import ONNX_FILE
from workbench.models.onnx_guard import MAX_BYTES
from workbench.models.registry import installed
from workbench.research.brought_models import ZOO, ZOO_FORMAT, ZOO_VERSION
from workbench.research.job import Job
from workbench.research.pickles import Converted, from_pickle, is_pickle, proved, refuse_pickle

EXCHANGE = ZoneInfo("America/New_York")
NS = 1_000_000_000
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")

Outcome = dict[str, Any]


def bring(
    job_root: Path,
    file: Path,
    horizons: Iterable[str],
    fitted_until: int | None = None,
    schema: Path | None = None,
    name: str | None = None,
    trust_pickle: bool = False,
) -> Outcome:
    """Check `file`, bring it into the workbench's form, prove it and store it; what was stored.

    `fitted_until` (ns): last moment that the model knows of; None reads the metadata ``fitted_until`` of the file, and
    without it takes now, so that the model is judged by what comes after. `schema`: names of its inputs, a JSON list or
    one per line; None takes the model's own names, or the workbench's where their number agrees.
    """
    labels = _horizons(horizons)
    name = _checked_name(name or re.sub(r"[^A-Za-z0-9_-]+", "_", file.stem))
    known = _workspace_features(job_root, labels)
    content = _content(file)
    converted = _converted(file, content, trust_pickle)
    about = asked(converted.onnx if converted else content, file.name)
    features = _features(schema, converted, about, known, file.name)
    until, remarks = _knows_until(fitted_until, about.metadata)
    if converted:
        made, more = proved(converted, file.name, len(features))
        remarks = (*remarks, *converted.remarks, *more)
    else:
        made = normalise(content, file.name, len(features))
    stored = {
        "name": name, "horizons": list(labels), "features": list(features), "fitted_until": until,
        "source": {"file": file.name, "digest": digest(content), "kind": "scikit-learn" if converted else "onnx"},
    }  # fmt: skip
    folder = Path(job_root) / ZOO / name
    made_id = write_folder(folder, ZOO_FORMAT, ZOO_VERSION, stored, {ONNX_FILE: made})
    return {
        "model": name, "id": made_id, "horizons": list(labels), "features": len(features), "bytes": len(made),
        "knows_until": iso_time(until), "kind": stored["source"]["kind"],
        "remarks": list(remarks), "folder": str(folder / made_id),
    }  # fmt: skip


def moment(text: str) -> int:
    """UTC ns of an ISO time with its zone; of a date, its end in New York.

    >>> iso_time(moment("2025-06-30")), iso_time(moment("2025-06-30T20:00:00+00:00"))
    ('2025-07-01T03:59:59Z', '2025-06-30T20:00:00Z')
    """
    try:
        if len(text) == len("2025-06-30"):
            return int(datetime.combine(date.fromisoformat(text), clock(23, 59, 59), EXCHANGE).timestamp()) * NS
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no time: write a date (2025-06-30) or 2025-06-30T16:00:00-04:00") from None
    if at.tzinfo is None:
        raise ConfigError(f"{text!r} has no zone: write for example {text}+00:00, or a date alone")
    return int(at.timestamp()) * NS


def _horizons(labels: Iterable[str]) -> tuple[str, ...]:
    chosen = sorted({horizon(label) for label in labels})
    if not chosen:
        raise ConfigError("name the horizon that the model forecasts: --horizon 30m (repeatable)")
    return tuple(h.label for h in chosen)


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a model: use a letter, then letters, digits, '_' and '-' (--name NAME)"
        )
    if name in installed():
        raise ConfigError(f"{name!r} is a family already; give your model another name (--name NAME)")
    return name


def _content(file: Path) -> bytes:
    if not file.is_file():
        raise DataError(f"{file} is no file; name the ONNX file of the model")
    if file.stat().st_size > MAX_BYTES:
        raise ArtifactError(f"{file} has {file.stat().st_size:,} bytes, more than {MAX_BYTES:,}; bring a smaller model")
    return file.read_bytes()


def _converted(file: Path, content: bytes, trust_pickle: bool) -> Converted | None:
    """The scikit-learn model of a pickle that is trusted; None where the file is none."""
    if not is_pickle(file, content):
        return None
    if not trust_pickle:
        refuse_pickle(str(file))
    return from_pickle(content, file.name)


def _workspace_features(root: Path, labels: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Horizon label -> names of the features that the workspace's bars give, in their order."""
    if not (Path(root) / "store").is_dir():
        raise DataError(
            f"{root} has no bars yet, on which the features depend: run `workbench simulate --out {root}` or "
            "`workbench import` first"
        )
    job = Job.open(root)

    def names(h: Horizon) -> tuple[str, ...]:
        return tuple(s.name for s in (daily_catalogue() if h.is_day else catalogue(job.bars.has_quotes)))

    return {label: names(horizon(label)) for label in labels}


def _features(
    schema: Path | None, converted: Converted | None, about: Asked, known: Mapping[str, tuple[str, ...]], what: str
) -> tuple[str, ...]:
    """Names of the model's inputs, in order, all of them features of every horizon."""
    features = _named(schema, converted, about, known, what)
    for label, names in known.items():
        unknown = [f for f in features if f not in names]
        if unknown:
            raise ConfigError(
                f"{what} reads {unknown[0]!r}, which is no feature of {label} here ({len(unknown)} unknown of "
                f"{len(features)}).{nearest_name(unknown[0], names)} docs/guides/features.md has the tables of them"
            )
    return features


def _named(
    schema: Path | None, converted: Converted | None, about: Asked, known: Mapping[str, tuple[str, ...]], what: str
) -> tuple[str, ...]:
    """From the schema, the model itself, or the workbench."""
    if schema is not None:
        return _names(_text(schema), str(schema))
    if converted and converted.features:
        return converted.features
    if "features" in about.metadata:
        return _names(about.metadata["features"], f"the metadata of {what}")
    whole = set(known.values())
    if len(whole) == 1 and len(only := next(iter(whole))) == about.width:
        return only
    counts = ", ".join(f"{len(names)} for {label}" for label, names in known.items())
    raise ConfigError(
        f"{what} takes {about.width or 'any number of'} features and does not name them; the workbench has {counts}. "
        "Name its inputs in order with --schema FILE (a JSON list, or one name per line)"
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--schema {path} cannot be read: {error}") from None


def _names(text: str, where: str) -> tuple[str, ...]:
    """A JSON list of names, or one per line."""
    names: Any = [line.strip() for line in text.splitlines() if line.strip()]
    if text.lstrip().startswith("["):
        try:
            names = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{where} is no JSON list of feature names: {error}") from None
    if not names or not all(isinstance(n, str) and n for n in names):
        raise ConfigError(f"{where} names no features; write a JSON list of names, or one per line")
    twice = [n for n in names if names.count(n) > 1]
    if twice:
        raise ConfigError(f"{where} names {twice[0]!r} more than once; each input is one feature")
    return tuple(names)


def _knows_until(fitted_until: int | None, metadata: Mapping[str, str]) -> tuple[int, tuple[str, ...]]:
    now = time.time_ns()
    if fitted_until is None and "fitted_until" in metadata:
        fitted_until = moment(metadata["fitted_until"])
    if fitted_until is None:
        return now, ("nobody said until when it was fitted: it counts as knowing everything up to now, so nothing that "
                     "the workspace holds can judge it (--fitted-until DATE)",)  # fmt: skip
    if fitted_until > now:
        raise ConfigError(f"--fitted-until {iso_time(fitted_until)} lies in the future; name the last label it learned")
    return fitted_until, ()
