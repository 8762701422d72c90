"""schedule.toml: which notebooks run when, with what parameters, after what, and what to do when something is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from workbench.config.branch import Branch
from workbench.core.errors import ConfigError, nearest_name
from workbench.schedule.parameters import checked, known_parameters
from workbench.schedule.times import CronTimes, Due, SessionTimes, cron, parse_span, parse_times

_NAMED = re.compile(r"\{(\w*)\}")
Name = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")


class Desk(Branch):
    """What all jobs share. `folder` holds runs, locks and the journal of the desk, unless `journal` is an SQL URL;
    `notebooks` is where the notebooks are; `webhook` names an environment variable that holds a URL to tell of alerts.
    """

    folder: str = "runs/desk"
    notebooks: str = "notebooks"
    journal: str = ""
    webhook: str = ""


class Job(Branch):
    """Notebooks that run in order, `at` a time of every session or at the times of a `cron` expression.

    `kind` "live": follows an engine `until` a time of its session, is never retried, and `left` says what becomes of
    the engine when nobody follows it any more: "hold" (it goes on, watched) or "flatten". `after`: jobs whose last run
    must have succeeded and be no older than `fresh`. `misfire`: how late it may still start. `timeout` of a run;
    `retries` of a failed one, the first after `backoff`, each later one after twice the wait. `lock`: jobs that share
    one never overlap (its own name by default). `promote`: after it succeeded, a green candidate of its parameter
    `workspace` is put in force without asking. In `parameters`, ``{session}``, ``{before}``, ``{next}`` are filled in.
    """

    name: str = Name
    notebooks: tuple[str, ...] = Field(min_length=1)
    at: str = ""
    cron: str = ""
    until: str = ""
    kind: Literal["batch", "live"] = "batch"
    left: Literal["hold", "flatten"] = "hold"
    after: tuple[str, ...] = ()
    fresh: str = "24h"
    misfire: str = "15m"
    timeout: str = "4h"
    retries: int = Field(0, ge=0, le=10)
    backoff: str = "5m"
    lock: str = Field("", pattern=r"^([a-z][a-z0-9-]{0,63})?$")
    promote: bool = False
    parameters: dict[str, Any] = Field(default_factory=dict)

    @field_validator("fresh", "misfire", "timeout", "backoff")
    @classmethod
    def _is_span(cls, value: str) -> str:
        parse_span(value)
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bool(self.at) == bool(self.cron):
            raise ValueError(
                f"job {self.name} needs either `at` (open-15m) or `cron`, and has {self.at!r} and {self.cron!r}"
            )
        parse_times(self.at) if self.at else cron(self.cron)
        if self.kind == "live":
            if not (self.at and self.until):
                raise ValueError(f"live job {self.name} needs `at` and `until`, times of its session")
            if self.retries:
                raise ValueError(
                    f"live job {self.name} has retries={self.retries}: a live session is never retried unasked"
                )
        if self.promote and (self.kind == "live" or "workspace" not in self.parameters):
            raise ValueError(f"job {self.name} has promote, which needs a batch job with the parameter workspace")
        if self.kind == "batch" and self.until:
            raise ValueError(f"job {self.name} has `until`, which only a live job has; use timeout")
        if self.until:
            parse_times(self.until)
        if self.kind == "live" and not self.ends(_SOME_DAY) > parse_times(self.at).of(_SOME_DAY.session):
            raise ValueError(f"live job {self.name} ends ({self.until}) before it begins ({self.at})")
        self._names_sessions()
        return self

    def _names_sessions(self) -> None:
        """In braces a parameter may only name a session that is filled in."""
        known = ("session", "before", "next")
        for name, value in self.parameters.items():
            for word in _NAMED.findall(value) if isinstance(value, str) else ():
                if word not in known:
                    raise ValueError(
                        f"job {self.name}: {name} = {value!r} names {{{word}}}, which is not filled in."
                        f"{nearest_name(word, known)} There are {{session}}, {{before}} and {{next}}"
                    )

    @property
    def times(self) -> SessionTimes | CronTimes:
        """When it is due."""
        return parse_times(self.at) if self.at else CronTimes(self.cron)

    @property
    def locked(self) -> str:
        """The name of its lock."""
        return self.lock or self.name

    def span(self, name: str) -> int:
        """`fresh`, `misfire`, `timeout` or `backoff` in ns."""
        return parse_span(getattr(self, name))

    def ends(self, due: Due) -> int:
        """UTC ns at which a live run of that session is to end."""
        return parse_times(self.until).of(due.session)

    def parameters_of(self, notebook: Path, due: Due) -> dict[str, Any]:
        """The parameters that `notebook` knows, with the session filled in."""
        known = known_parameters(notebook)
        mine = {name: _filled(value, due) for name, value in self.parameters.items() if name in known}
        return checked(notebook, mine)


class Schedule(Branch):
    """The whole file."""

    desk: Desk = Desk()
    jobs: tuple[Job, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.jobs:
            raise ValueError("there is no job; `workbench schedule example` has some")
        names = [job.name for job in self.jobs]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"jobs need different names; {', '.join(twice)} is used twice")
        for job in self.jobs:
            for other in job.after:
                if other not in names:
                    raise ValueError(f"job {job.name} is after {other!r}, which is no job.{nearest_name(other, names)}")
        for job in (job for job in self.jobs if job.kind == "live"):
            self._is_checked(job)
        if circle := _circle({job.name: job.after for job in self.jobs}):
            raise ValueError(f"jobs wait for each other in a circle: {' -> '.join(circle)}")
        return self

    def _is_checked(self, live: Job) -> None:
        """No live session without a check, and the check is of what it trades."""
        if not live.after:
            raise ValueError(
                f"live job {live.name} needs `after`: no session begins without a green check (notebook 11_pre_open)"
            )
        mine = live.parameters.get("config")
        for job in self.jobs:
            other = job.parameters.get("config", mine)
            if job.name in live.after and other != mine:
                raise ValueError(f"live job {live.name} trades config {mine!r}, and {job.name} checks {other!r}")

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """The schedule at `path`, in which relative folders are beside it; :class:`ConfigError` says what is wrong."""
        if not path.is_file():
            raise ConfigError(f"schedule {path} does not exist; `workbench schedule example > {path}` writes one")
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"schedule {path} is not valid TOML: {error}") from None
        try:
            made = cls.model_validate(tree)
        except ValidationError as error:
            raise ConfigError(f"schedule {path}: {_explain(error)}") from None
        here = path.resolve().parent
        desk = made.desk.model_copy(update={n: str(here / getattr(made.desk, n)) for n in ("folder", "notebooks")})
        return made.model_copy(update={"desk": desk}).checked()

    def checked(self) -> Self:
        """Itself, with every notebook and parameter looked up."""
        for job in self.jobs:
            known: set[str] = set()
            for notebook in self.notebooks(job):
                known |= set(known_parameters(notebook))
                job.parameters_of(notebook, _SOME_DAY)
            if strange := [p for p in job.parameters if p not in known]:
                hint = nearest_name(strange[0], known)
                raise ConfigError(f"no notebook of job {job.name} has a parameter {strange[0]!r}.{hint}")
        return self

    def job(self, name: str) -> Job:
        """The job of that name; :class:`ConfigError` lists what there is."""
        if name not in self._by_name:
            hint = nearest_name(name, self._by_name)
            raise ConfigError(f"there is no job {name!r}.{hint} There are {', '.join(self._by_name) or 'none'}")
        return self._by_name[name]

    def notebooks(self, job: Job) -> tuple[Path, ...]:
        """The files of a job's notebooks."""
        return tuple(Path(self.desk.notebooks) / f"{name.removesuffix('.ipynb')}.ipynb" for name in job.notebooks)

    @cached_property
    def _by_name(self) -> Mapping[str, Job]:
        return {job.name: job for job in self.jobs}


_SOME_DAY = Due(0, "2026-03-03", "2026-03-02", "2026-03-04")
"""To check the types of parameters that name a session."""


def _filled(value: Any, due: Due) -> Any:
    if isinstance(value, str):
        return value.replace("{session}", due.session).replace("{before}", due.before).replace("{next}", due.next)
    return value


def _circle(after: Mapping[str, tuple[str, ...]], path: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names that wait for each other; empty where none do."""
    for name in after if not path else after[path[-1]]:
        if name in path:
            return (*path[path.index(name) :], name)
        if found := _circle(after, (*path, name)):
            return found
    return ()


def _explain(error: ValidationError) -> str:
    return "\n".join(_line(e) for e in error.errors())


def _line(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        model: Any = Job if item["loc"][:1] == ("jobs",) else Desk if item["loc"][:1] == ("desk",) else Schedule
        return f"{where} is unknown.{nearest_name(str(item['loc'][-1]), model.model_fields)}"
    return (
        f"{where}: {item['msg'].removeprefix('Value error, ')}" if where else item["msg"].removeprefix("Value error, ")
    )
