"""Cohorts with a known truth: the label needs a factor of the image and a factor of RNA."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

from histoweave.fusion import catalog
from histoweave.fusion.fusion_fold import run_fold
from histoweave.fusion.patients import PatientSet
from histoweave.fusion.projection import project
from histoweave.fusion.tile_summary import summarise, write_summary
from histoweave.settings.fusion import Fusion

FAST = Fusion(n_genes=40, gene_tokens=4, image_components=8, width=16, heads=2, members=2, epochs=4, patience=4)


@dataclass(frozen=True)
class Cohort:
    """Tables as the stages before fusion write them, and `planted`: one bool per tile and patient."""

    patients: pd.DataFrame
    slides: pd.DataFrame
    expression: pd.DataFrame
    folds: pd.DataFrame
    classes: list[str]
    planted: dict[str, np.ndarray]

    def everyone(self) -> PatientSet:
        """All included patients."""
        return PatientSet.of(self.patients, slides=self.slides, expression=self.expression, classes=self.classes)

    def run(self, model: str, k: int, out: Path, *, settings: Fusion = FAST, **changes) -> Path:
        """Project the tiles, run one fold into `out` and return it."""
        given = {name: changes.get(name, getattr(self, name)) for name in ("patients", "slides", "folds")}
        with tempfile.TemporaryDirectory() as folder:
            tiles = tile_files(Path(folder), **given, seed=changes.get("seed", 1), settings=settings)
            return self.run_on(tiles, model, k, out, settings=settings, **changes)

    def run_on(
        self, tiles: dict[str, Any], model: str, k: int, out: Path, *, settings: Fusion = FAST, **changes
    ) -> Path:
        """Run one fold on projected tiles that were made before."""
        arguments = {
            "patients": self.patients, "folds": self.folds, "slides": self.slides, "expression": self.expression,
            "classes": self.classes, "seed": 1, "permutations": 3, "device": "cpu",
        }  # fmt: skip
        arguments |= tiles_of_fold(tiles, model, k)
        run_fold(model=model, k=k, settings=settings, out_dir=out, **(arguments | changes))
        return out


TILE_ARGUMENTS = ("patients", "slides", "folds", "seed")


def tile_files(folder: Path, *, patients, slides, folds, seed: int, settings: Fusion) -> dict[str, Any]:
    """The summary and the projected tiles of every fold, as their stages write them; nothing for a cohort without images."""
    if not (patients["included"] & patients["has_image"]).any():
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    summary = summarise(patients, slides, seed=seed)
    write_summary(folder / "tile_summary.h5", summary)
    n_splits = len(folds[["repeat", "fold"]].drop_duplicates())
    made = [folder / f"fold{k}.h5" for k in range(n_splits)]
    project(summary, slides, folds, settings=settings, seed=seed, out=made)
    return {"summary": folder / "tile_summary.h5", "projected": made}


def tiles_of_fold(tiles: dict[str, Any], model: str, k: int) -> dict[str, Path]:
    """What the job of one model and fold is given of `tile_files`."""
    if not tiles or model not in catalog.names() or catalog.IMAGE not in catalog.get(model).modalities:
        return {}
    found = {"summary": tiles["summary"]}
    if not catalog.get(model).pooled and k < len(tiles["projected"]):
        found["projected"] = tiles["projected"][k]
    return found


def write_features(path: Path, features: np.ndarray) -> None:
    """A feature file as the contract has it: `features` and `coords`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    n = len(features)
    with h5py.File(path, "w") as file:
        file["features"] = features.astype(np.float32)
        file["coords"] = np.column_stack([np.arange(n) % 7 * 224, np.arange(n) // 7 * 224])


def make_folds(patients: pd.DataFrame, *, n_folds: int, seed: int) -> pd.DataFrame:
    """Stratified folds; a fifth of the rest is the validation part."""
    rows = []
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    for fold, (rest, test) in enumerate(splitter.split(patients, patients["label"])):
        inner = StratifiedKFold(5, shuffle=True, random_state=seed)
        train, val = next(inner.split(rest, patients["label"].iloc[rest]))
        for role, index in (("train", rest[train]), ("val", rest[val]), ("test", test)):
            rows += [(patients["patient"].iloc[i], 0, fold, role) for i in index]
    return pd.DataFrame(rows, columns=["patient", "repeat", "fold", "role"])


def make_cohort(
    folder: Path,
    *,
    seed: int,
    n: int = 60,
    n_features: int = 64,
    n_genes: int = 200,
    effect: float = 5.0,
    share: float = 0.35,
    n_folds: int = 5,
    n_classes: int = 2,
) -> Cohort:
    """A cohort at four sites. Planted tiles are shifted by `effect` (in units of the noise of one feature) along
    one direction; 26 genes are shifted by 1.2 log2; site, patient and tile nuisances are larger than both.

    Two classes: positive if both factors are present. Three: `c` with both, `b` with the RNA factor alone, else `a`.
    """
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.resize([(1, 1)] * 8 + [(1, 0)] * 5 + [(0, 1)] * 5 + [(0, 0)] * 2, (n, 2)))
    ids, sites = [f"P{i:03d}" for i in range(n)], rng.integers(4, size=n)
    site_shift = rng.normal(size=(4, n_features))
    texture = rng.normal(size=(6, n_features))
    direction = rng.normal(size=n_features)
    direction *= effect * np.sqrt(6) / np.linalg.norm(direction)
    programmes = rng.normal(size=(3, n_genes)) * (rng.random((3, n_genes)) < 0.1)
    base = rng.uniform(1, 9, n_genes)
    planted, slides, rna = {}, [], []
    for patient, site, (image, gene) in zip(ids, sites, truth, strict=True):
        n_tiles = int(rng.integers(35, 56))
        mask = rng.random(n_tiles) < share * image
        features = rng.normal(size=(n_tiles, n_features)) + rng.normal(size=(n_tiles, 6)) @ texture
        features += site_shift[site] + rng.normal(size=n_features) * 0.3 + mask[:, None] * direction
        path = folder / f"{patient}.h5"
        write_features(path, features)
        slides.append((f"{patient}-1", patient, "ok", str(path), n_tiles))
        profile = base + rng.normal(size=3) @ programmes + rng.normal(size=n_genes) * 0.7
        profile[:26] += gene * (1.2 + 0.3 * rng.normal())
        planted[patient], rna = mask, [*rna, profile]
    codes = truth.sum(1) // 2 if n_classes == 2 else np.where(truth[:, 1], truth[:, 0] + 1, 0)
    classes = ["neg", "pos"] if n_classes == 2 else ["a", "b", "c"]
    patients = pd.DataFrame({"patient": ids, "label": [classes[c] for c in codes], "site": sites})
    patients = patients.assign(has_image=True, has_expression=True, included=True, complete=True)
    return Cohort(
        patients,
        pd.DataFrame(slides, columns=["slide", "patient", "status", "features", "n_tiles"]),
        pd.DataFrame(rna, columns=[f"G{i}" for i in range(n_genes)]).assign(patient=ids),
        make_folds(patients, n_folds=n_folds, seed=seed),
        classes,
        planted,
    )
