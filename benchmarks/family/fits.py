"""Fitting models on a member: the project's own chain up to the joined cohort, then folds, fits and scores in one process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from histoweave.config import Evaluation, Folds, Fusion
from histoweave.evaluation.evaluate import pool
from histoweave.folds import make_folds
from histoweave.fusion.fold import run_fold
from histoweave.io import read_table

from .cohort import write_cohort
from .members import Member
from .patients import LABELS

ROOT = Path(__file__).parents[2]
SEED = 1


def prepared(member: Member, work: Path) -> Path:
    """The folder of a member whose cohort is tiled, encoded and joined; made where it is not there yet."""
    folder = work / member.name
    if not (folder / "config.yaml").is_file():
        write_cohort(folder, member)
    if not (folder / "results/family/cohort/slides.parquet").is_file():
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "prepare",
            "--snakefile",
            str(ROOT / "Snakefile"),
            "--cores",
            "all",
        ]
        run = subprocess.run(
            [*command, "--configfile", "config.yaml", "--quiet", "all"], cwd=folder, capture_output=True, text=True
        )
        if run.returncode:
            raise RuntimeError(f"{member.name}: snakemake prepare ended with {run.returncode}: {run.stderr[-2000:]}")
    return folder


def fit_models(
    member: Member, models: Sequence[str], *, settings: Fusion, folder: Path, setting: str, device: str = "cpu"
) -> Iterator[tuple[str, pd.DataFrame, float]]:
    """Yield each model's pooled test predictions on five folds and the seconds that they took; what is there is read."""
    tables = {name: read_table(folder / "results/family" / path) for name, path in _TABLES.items()}
    # The cohort's table names its files from the folder in which Snakemake ran.
    tables["slides"]["features"] = [str(folder / path) for path in tables["slides"]["features"]]
    patients = tables["patients"]
    folds, _ = make_folds(patients, settings=Folds(group_by="patient"), seed=SEED)
    for model in models:
        started, parts = time.perf_counter(), []
        for k in sorted(folds["fold"].unique()):
            out = folder / "fits" / setting / model / f"fold{k}"
            if not (out / "predictions.parquet").is_file():
                out.mkdir(parents=True, exist_ok=True)
                _fit(model, int(k), tables, folds, settings=settings, device=device, out=out)
            parts.append(read_table(out / "predictions.parquet"))
        yield model, pool([(model, part) for part in parts]), time.perf_counter() - started


def _fit(model: str, k: int, tables: dict, folds: pd.DataFrame, *, settings: Fusion, device: str, out: Path) -> None:
    from histoweave.fusion import catalog

    run_fold(
        model=model,
        k=k,
        patients=tables["patients"],
        folds=folds,
        slides=tables["slides"],
        expression=tables["expression"],
        classes=list(LABELS),
        settings=settings,
        seed=SEED,
        permutations=1,
        device=device,
        out_dir=out,
        needs={name: out.parents[1] / name / out.name for name in catalog.get(model).needs},
    )


_TABLES = {
    "patients": "cohort/patients.parquet",
    "slides": "cohort/slides.parquet",
    "expression": "expression/expression.parquet",
}
EVALUATION = Evaluation(bootstrap=2000)
