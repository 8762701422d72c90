"""Folders that prove their content: a canonical manifest with the sha256 of every file, named by its own digest.

``<root>/<id>/manifest.json`` lists all other files. The id is the digest of the manifest, so the same content gives
the same name on every machine. ``<root>/CURRENT`` holds the id that was written last. Nothing here, and nothing that
may lie here, is a pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.core.digest import digest
from workbench.core.errors import ArtifactError

MANIFEST = "manifest.json"
CURRENT = "CURRENT"
PICKLE_SUFFIXES = (".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth", ".sav")
ID_LENGTH = 16


@dataclass(frozen=True, slots=True)
class VerifiedFolder:
    """A folder whose every byte was checked when it was opened, and is checked again when it is read."""

    path: Path
    id: str
    manifest: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """Relative paths of all files but the manifest."""
        return tuple(sorted(self.manifest["files"]))

    @property
    def full_digest(self) -> str:
        """sha256 of the manifest, and through it of every file."""
        return _sha256(canonical(self.manifest))

    def read(self, name: str) -> bytes:
        """Content of a file; :class:`ArtifactError` if there is none or it is not as it was saved."""
        if name not in self.manifest["files"]:
            raise ArtifactError(f"{self.path} holds no {name}; save the bundle again")
        content = (self.path / name).read_bytes()
        if _sha256(content) != self.manifest["files"][name]["sha256"]:
            raise ArtifactError(f"{self.path}: file {name} was changed since it was saved (its sha256 differs)")
        return content

    def json(self, name: str) -> Any:
        """The content of a JSON file."""
        try:
            return json.loads(self.read(name))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ArtifactError(f"{self.path / name} is not JSON: {error}") from None


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, exact floats."""
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def write_folder(root: Path, form: str, version: int, about: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """Write ``root/<id>`` at once or not at all, make it current and return its id; content already there is kept."""
    manifest = {
        **about,
        "format": form,
        "version": version,
        "files": {name: {"sha256": _sha256(content), "bytes": len(content)} for name, content in files.items()},
    }
    text = canonical(manifest)
    name = digest(text)[:ID_LENGTH]
    root.mkdir(parents=True, exist_ok=True)
    if not (root / name).exists():
        scratch = root / f".{name}.{os.getpid()}.part"
        shutil.rmtree(scratch, ignore_errors=True)
        for relative, content in {**files, MANIFEST: text}.items():
            path = scratch / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        os.rename(scratch, root / name)
    else:
        read_folder(root / name, form, version)
    scratch = root / f".{CURRENT}.{os.getpid()}.part"
    scratch.write_text(name + "\n", encoding="utf-8")
    os.replace(scratch, root / CURRENT)
    return name


def find_folder(root: Path, wanted: str | None = None) -> Path:
    """``root`` itself if it is a bundle, else ``root/<wanted>``, else the only or the current bundle in it."""
    if (root / MANIFEST).is_file():
        return root
    if not root.is_dir():
        raise ArtifactError(f"{root} does not exist; train first, or name the folder that holds the bundle")
    found = sorted(p.parent.name for p in root.glob(f"*/{MANIFEST}") if not p.parent.name.startswith("."))
    if wanted is None and len(found) > 1 and (root / CURRENT).is_file():
        wanted = (root / CURRENT).read_text(encoding="utf-8").strip()
    if wanted is not None and wanted not in found:
        raise ArtifactError(f"{root} holds no bundle {wanted}; it holds {', '.join(found) or 'none'}")
    if wanted is None and len(found) != 1:
        raise ArtifactError(f"{root} holds {len(found)} bundles ({', '.join(found) or 'none'}); name one of them")
    return root / (wanted or found[0])


def read_folder(path: Path, form: str, version: int) -> VerifiedFolder:
    """Every file of the bundle at `path`, verified; :class:`ArtifactError` names the first that is not as it was."""
    files = {p.relative_to(path).as_posix(): p for p in sorted(path.rglob("*")) if not p.is_dir() or p.is_symlink()}
    for name, file in files.items():
        _refuse_pickle(file, name)
    if MANIFEST not in files:
        raise ArtifactError(f"{path} has no {MANIFEST}: it is no bundle, or an incomplete one; save it again")
    manifest = _manifest(path / MANIFEST, form, version)
    listed = manifest["files"]
    for name in sorted(set(listed) - set(files)):
        raise ArtifactError(f"{path}: file {name} is missing; restore it or save the bundle again")
    for name in sorted(set(files) - set(listed) - {MANIFEST}):
        raise ArtifactError(f"{path}: file {name} is not in the manifest; remove it")
    folder = VerifiedFolder(path, digest(canonical(manifest))[:ID_LENGTH], manifest)
    for name in folder.names:
        folder.read(name)
    return folder


def _manifest(path: Path, form: str, version: int) -> dict[str, Any]:
    text = path.read_bytes()
    try:
        manifest = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} is not JSON: {error}") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise ArtifactError(f"{path} lists no files: it is not a manifest of the workbench")
    if manifest.get("format") != form:
        raise ArtifactError(
            f"{path} is of format {manifest.get('format')!r}, expected {form!r}; is it the other folder?"
        )
    if manifest.get("version") != version:
        raise ArtifactError(f"{path} is of version {manifest.get('version')!r}; this workbench reads version {version}")
    name = path.parent.name
    if canonical(manifest) != text or (len(name) == ID_LENGTH and name != digest(text)[:ID_LENGTH]):
        raise ArtifactError(f"{path} was changed since it was saved: its digest is not {name}")
    return manifest


def _refuse_pickle(path: Path, name: str) -> None:
    if path.is_symlink():
        raise ArtifactError(f"{path.parent}: {name} is a link; a bundle holds its files itself")
    with path.open("rb") as f:
        head = f.read(2)
    if path.suffix.lower() in PICKLE_SUFFIXES or (len(head) == 2 and head[0] == 0x80 and 2 <= head[1] <= 5):
        raise ArtifactError(f"{path}: {name} is a pickle, which can run code when it is read; bundles hold none")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
