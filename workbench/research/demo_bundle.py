"""The small bundle that ships: trained on the embedded market, so that a system without models has something to run.

It knows features, not symbols, and its `data_origin` keeps it off any account that is not simulated. To make it again
(a few minutes)::

    python -m workbench.research.demo_bundle
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench.config import Settings
from workbench.core.errors import ArtifactError
from workbench.research.job import Job
from workbench.research.steps import final_stages, simulate, train, train_models
from workbench.training.bundles import save_stages, save_trained

DEMO_BUNDLE = Path(__file__).resolve().parent.parent / "demo_bundle"
"""Holds ``models/<id>/`` and ``blenders/<id>/``."""

MAX_BYTES = 2_000_000
FAMILIES = ("FTRLProximal", "Ensemble", "LSTM")
"""Families whose files are small: the bundle must stay under MAX_BYTES."""


def make_demo_bundle(target: Path = DEMO_BUNDLE) -> int:
    """Train on the embedded market and write the bundle to `target`, without out-of-fold tables. Its size in bytes."""
    settings = Settings().change(training={"profile": "demo", "families": FAMILIES}, features={"quotes": "top"})
    with TemporaryDirectory(prefix="demo-bundle-") as folder:
        job = Job.open(folder, settings)
        simulate(job)
        train(job)
        fitted, trained = final_stages(job), train_models(job)
        made = Path(folder) / "made"
        models = save_trained(trained, made / "models", with_oof=False)
        save_stages(fitted, made / "blenders", made / "models", models)
        size = sum(p.stat().st_size for p in made.rglob("*") if p.is_file())
        if size > MAX_BYTES:
            raise ArtifactError(f"the demo bundle has {size:,} bytes, more than {MAX_BYTES:,}: leave out a family")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made, target)
    return size


if __name__ == "__main__":
    print(f"{DEMO_BUNDLE}: {make_demo_bundle():,} bytes")
