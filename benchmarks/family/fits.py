"""A member through the project's own chain up to the joined cohort, then folds, fits and the conclusion in one process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from histoweave.cohort.folds import make_folds
from histoweave.evaluation.choice import choose, class_counts
from histoweave.evaluation.clusters import with_clusters
from histoweave.evaluation.conclusion import Conclusion, conclude
from histoweave.evaluation.confounding import confounding
from histoweave.evaluation.evaluate import pool
from histoweave.fusion import catalog
from histoweave.fusion.fusion_fold import run_fold
from histoweave.fusion.projection import project
from histoweave.fusion.tile_summary import summarise, write_summary
from histoweave.settings.evaluation import Evaluation
from histoweave.settings.folds import Folds
from histoweave.settings.fusion import Fusion
from histoweave.storage.files import read_table

from .cohort import EDGE_PX, write_cohort
from .members import Member
from .patients import LABELS, draw_patients

ROOT = Path(__file__).parents[2]
SEED = 1


def prepared(member: Member, work: Path, *, edge_px: int = EDGE_PX) -> Path:
    """The folder of a member whose cohort is tiled, encoded and joined; made where it is not there yet."""
    folder = work / member.name
    if not (folder / "config.yaml").is_file():
        write_cohort(folder, member, edge_px=edge_px)
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


@dataclass(frozen=True)
class Cohort:
    """The joined tables of a prepared member, with labels that may be another member's of the same factors."""

    folder: Path
    patients: pd.DataFrame
    slides: pd.DataFrame
    expression: pd.DataFrame

    @classmethod
    def read(cls, folder: Path) -> Cohort:
        """The cohort that `prepared` left in `folder`."""
        made = folder / "results/family"
        slides = read_table(made / "cohort/slides.parquet")
        # The table names its files from the folder in which Snakemake ran.
        slides["features"] = [str(folder / path) for path in slides["features"]]
        patients = read_table(made / "cohort/patients.parquet")
        return cls(folder, patients, slides, read_table(made / "expression/expression.parquet"))

    def labelled(self, member: Member) -> Cohort:
        """The same slides and RNA with the labels of a member whose factors are drawn alike."""
        labels = draw_patients(member).set_index("patient")["label"]
        return replace(self, patients=self.patients.assign(label=self.patients["patient"].map(labels)))

    def folds(self, group_by: str = "patient") -> tuple[pd.DataFrame, dict]:
        """Five folds of the patients, or of whole sites."""
        return make_folds(self.patients, settings=Folds(group_by=group_by), seed=SEED)


def fit_model(
    cohort: Cohort, model: str, folds: pd.DataFrame, *, settings: Fusion, out: Path, device: str = "cpu"
) -> pd.DataFrame:
    """A model's pooled test predictions on folds. Fitted folds that lie in `out` are read, new ones left there."""
    parts, tiles = [], projected_tiles(cohort, folds, settings=settings, out=out)
    for k in sorted(folds["fold"].unique()):
        fold = out / model / f"fold{k}"
        if not (fold / "predictions.parquet").is_file():
            fold.mkdir(parents=True, exist_ok=True)
            run_fold(
                model=model,
                k=int(k),
                patients=cohort.patients,
                folds=folds,
                slides=cohort.slides,
                expression=cohort.expression,
                classes=list(LABELS),
                settings=settings,
                seed=SEED,
                permutations=1,
                device=device,
                out_dir=fold,
                summary=out / "tile_summary.h5",
                projected=None if catalog.get(model).pooled else tiles[int(k)],
                needs={name: out / name / fold.name for name in catalog.get(model).needs},
            )
        parts.append((model, read_table(fold / "predictions.parquet")))
    return pool(parts)


def projected_tiles(cohort: Cohort, folds: pd.DataFrame, *, settings: Fusion, out: Path) -> list[Path]:
    """The tiles that the models read, of every fold; those that lie in `out` are left as they are."""
    made = [out / "projected" / f"fold{k}.h5" for k in range(folds["fold"].max() + 1)]
    if not all(path.is_file() for path in made):
        summary = summarise(cohort.patients, cohort.slides, seed=SEED)
        write_summary(out / "tile_summary.h5", summary)
        project(summary, cohort.slides, folds, settings=settings, seed=SEED, out=made)
    return made


def conclusion_of(
    cohort: Cohort, models: Sequence[str], *, settings: Fusion, out: Path, group_by: str = "patient"
) -> tuple[Conclusion, pd.DataFrame]:
    """What a run with these models comes down to, without the negative control; and the choice's table."""
    folds, how = cohort.folds(group_by)
    fits = [fit_model(cohort, model, folds, settings=settings, out=out) for model in models]
    predictions = with_clusters(pd.concat(fits, ignore_index=True), patients=cohort.patients, how=how)
    scored = {"classes": list(LABELS), "order": list(models), "modalities": list(catalog.MODALITIES)}
    choice = choose(predictions, **scored, settings=EVALUATION, seed=SEED)
    told = confounding(
        predictions,
        patients=cohort.patients,
        folds=folds,
        by_patient=group_by == "patient",
        slides=cohort.slides,
        expression=cohort.expression,
        whole_sites=None,
        classes=list(LABELS),
        models=list(models),
        modalities=list(catalog.MODALITIES),
        settings=EVALUATION,
        seed=SEED,
    )
    concluded = conclude(
        choice,
        models=[catalog.get(model) for model in models],
        counts=class_counts(predictions, LABELS),
        confidence=EVALUATION.confidence,
        group_by=group_by,
        confounding=told,
    )
    return concluded, choice


EVALUATION = Evaluation(bootstrap=2000)
