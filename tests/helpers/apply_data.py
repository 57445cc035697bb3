"""A small trained cohort, its bundle, and another cohort of the same kind, for the tests of `histoweave.apply`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from fusion_cohort import FAST, make_cohort
from sae_dictionaries import random_sae

from histoweave.apply.apply_bundle import apply
from histoweave.apply.bundle import write_bundle
from histoweave.apply.compare_with_bundle import compare
from histoweave.apply.training import Training
from histoweave.sae import format
from histoweave.settings.apply import Apply
from histoweave.settings.evaluation import Evaluation
from histoweave.settings.tiles import Tiles
from histoweave.storage.files import read_json, read_table

MODELS = [
    "majority", "top_pairs", "centroid", "logistic_expression", "logistic_image", "logistic_both",
    "image", "expression", "late_mean", "cross_attention",
]  # fmt: skip
EVALUATION = Evaluation(bootstrap=1000)
N_FOLDS = 2
MADE = {"encoder": "resnet50", "weights_sha256": "ab" * 32, "input_px": 224, "arithmetic": "float32"}
SCANNER = {"scanner_vendor": "aperio", "scanner_model": "GT450", "objective_power": 40.0}
PLACE = {"patch_size": 224, "target_mpp": 0.5}


@dataclass(frozen=True)
class Others:
    """An external cohort: the tables of its own stages."""

    patients: pd.DataFrame
    slides: pd.DataFrame
    expression: pd.DataFrame | None
    samples: pd.DataFrame | None

    def compare(self, bundle: Path, out: Path, *, unit="counts", tiles=None, settings=None):
        """Run the first stage; returns `compatibility.json` and the drift table."""
        compare(
            bundle, patients=self.patients, slides=self.slides, expression=self.expression, samples=self.samples,
            unit=unit, tiles=tiles or Tiles().model_dump(), settings=settings or Apply(),
            out={"compatibility": out / "compatibility.json"} | {n: out / f"{n}.parquet" for n in ("drift", "plausible")},
        )  # fmt: skip
        return read_json(out / "compatibility.json"), read_table(out / "drift.parquet")

    def apply(self, bundle: Path, out: Path, *, settings=None) -> dict[str, pd.DataFrame]:
        """Run both stages; returns the four tables of the second."""
        self.compare(bundle, out, settings=settings)
        names = ("predictions", "members", "metrics", "coverage")
        apply(
            bundle, patients=self.patients, slides=self.slides, expression=self.expression,
            compatibility_json=out / "compatibility.json", judged=read_table(out / "plausible.parquet"),
            settings=settings or Apply(), evaluation=EVALUATION, seed=1,
            out={name: out / f"{name}.parquet" for name in names},
        )  # fmt: skip
        return {name: read_table(out / f"{name}.parquet") for name in names}

    def without(self, modality: str, patients: list[str]) -> Others:
        """The cohort in which some patients lack a modality."""
        table = self.patients.copy()
        table.loc[table["patient"].isin(patients), f"has_{modality}"] = False
        if modality == "image":
            return replace(self, patients=table, slides=self.slides[~self.slides["patient"].isin(patients)])
        kept = ~self.expression["patient"].isin(patients)
        return replace(self, patients=table, expression=self.expression[kept])


def state(path: Path, **attributes) -> None:
    """Let a feature file say how it was made."""
    with h5py.File(path, "a") as file:
        file["features"].attrs.update({key: value for key, value in attributes.items() if key in MADE})
        file["coords"].attrs.update({key: value for key, value in attributes.items() if key in PLACE})


def trained_and_others(folder: Path) -> tuple[Training, Others]:
    """40 patients that models were fitted on (with conformal scores and temperatures), and 20 others."""
    cohort = make_cohort(folder / "features", seed=3, n=60, n_folds=N_FOLDS)
    slides = cohort.slides.assign(level0_mpp=0.25, mpp_source="openslide", **SCANNER)
    for path in slides["features"]:
        state(path, **MADE, **PLACE)
    is_own = cohort.patients["patient"] < "P040"
    own = cohort.patients[is_own].reset_index(drop=True)
    folds = cohort.folds[cohort.folds["patient"].isin(own["patient"])]
    tables = {name: table[table["patient"].isin(own["patient"])].reset_index(drop=True)
              for name, table in (("slides", slides), ("expression", cohort.expression))}  # fmt: skip
    root = folder / "fusion"
    part = replace(cohort, patients=own, folds=folds, **tables)
    for model in MODELS:
        for k in range(N_FOLDS):
            needs = {name: root / name / f"fold{k}" for name in ("image", "expression")}
            part.run(model, k, root / model / f"fold{k}", settings=FAST, needs=needs if model == "late_mean" else None)
    samples = pd.DataFrame({"sample": cohort.patients["patient"], "patient": cohort.patients["patient"], "kept": True})
    samples["total"] = np.random.default_rng(0).uniform(1e6, 2e6, len(samples))
    metrics = pd.DataFrame({"model": ["image"], "metric": ["auroc"], "scope": ["pooled"], "estimate": [0.8],
                            "ci_low": [0.7], "ci_high": [0.9], "n": [40]})  # fmt: skip
    predictions = pd.concat([read_table(root / m / f"fold{k}" / "predictions.parquet").assign(model=m)
                             for m in MODELS for k in range(N_FOLDS)])  # fmt: skip
    test = predictions[predictions["role"] == "test"]
    of_truth = np.where(test["y_true"] == "pos", test["p_pos"], test["p_neg"])
    scores = test[["model", "patient", "repeat", "fold", "y_true"]].assign(score=1 - of_truth)
    temperatures = scores[["model", "repeat", "fold"]].drop_duplicates().assign(temperature=1.5, n_val=8)
    training = Training(
        cohort="home", classes=cohort.classes, positive="pos", models=MODELS, n_folds=N_FOLDS, repeats=1,
        tiles=Tiles().model_dump(), root=root, patients=own, slides=tables["slides"], metrics=metrics,
        how_folded={"method": "stratified"}, expression=tables["expression"],
        samples=samples[is_own].reset_index(drop=True), unit="counts", temperatures=temperatures, scores=scores,
    )  # fmt: skip
    away = ~is_own
    others = Others(
        cohort.patients[away].reset_index(drop=True), slides[~slides["patient"].isin(own["patient"])],
        cohort.expression[~cohort.expression["patient"].isin(own["patient"])], samples[away],
    )  # fmt: skip
    return training, others


_HOME: dict[str, tuple[Training, Others, Path]] = {}


def made_home(tmp_path_factory) -> tuple[Training, Others, Path]:
    """The trained cohort, the other one and the bundle, made once in a session."""
    if not _HOME:
        folder = tmp_path_factory.mktemp("home")
        training, others = trained_and_others(folder)
        format.save(random_sae(dim=64, n_latents=40, k=4), folder / "sae")
        training = replace(training, dictionary=folder / "sae")
        _HOME["made"] = training, others, made_bundle(folder, training)
    return _HOME["made"]


def made_bundle(folder: Path, training: Training) -> Path:
    """Write `bundle.zip` into `folder`."""
    write_bundle(folder / "bundle.zip", training)
    return folder / "bundle.zip"
