"""Small cohorts for tests of whole runs, and what of a run's results has to be the same in another run."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd
import yaml
from running import ROOT
from stubs import wiring_in

from histoweave.storage.files import sha256_of

# Durations and times of files differ from run to run.
MECHANICS = {"benchmarks", "logs", "records", "shards"}
SAME = {".parquet", ".safetensors", ".h5", ".geojson", ".tsv", ".json"}
# The demo's cohorts of cells, and how many of their patients the small one has.
LABORATORIES = {"lab_a": 8, "lab_b": 4}


@dataclass(frozen=True)
class SmallRun:
    """A finished run of `small_demo`.

    Attributes
    ----------
    folder: where it ran. simulated: a copy of that folder when nothing but the simulated inputs was there.
    seconds: how long the rest took. hashes: of its results, see `hashes`.
    """

    CONFIG: ClassVar = ("--configfile", "config/config.yaml")
    folder: Path
    simulated: Path
    seconds: float
    hashes: dict[str, str]


def simulated_files(folder):
    """The inputs that the workflow makes itself for the small demo in `folder`."""
    wiring = wiring_in(folder, yaml.safe_load((folder / "config/config.yaml").read_text()))
    cells = [f"results/{name}/simulated/cells.zip" for name in LABORATORIES]
    return [*wiring.simulated_indexes("demo"), "results/demo/simulated/expression.tsv.gz", *cells]


def small_demo(folder, *, patients_per_class=8, mechanics=None, **changes):
    """Write tables and configuration of a part of the demo's patients and cells, with small slides and short training."""
    (folder / "config").mkdir(parents=True)
    raw = yaml.safe_load((ROOT / "config/demo/config.yaml").read_text())
    raw["cohorts"].pop("hospital_b")  # applied in the whole demo only
    demo = raw["cohorts"]["demo"]
    patients = pd.read_csv(ROOT / "config/demo/patients.tsv", sep="\t", dtype=str)
    chosen = patients.groupby("label").head(patients_per_class).iloc[:-1]
    slides = pd.read_csv(ROOT / "config/demo/slides.tsv", sep="\t", dtype=str)
    chosen.to_csv(folder / "config/patients.tsv", sep="\t", index=False)
    slides[slides["patient"].isin(chosen["patient"])].to_csv(folder / "config/slides.tsv", sep="\t", index=False)
    demo |= {"patients": "config/patients.tsv", "slides": "config/slides.tsv"}
    demo["simulate"] = {"seed": 6, "field_um": 700.0}
    raw["folds"] = {"n_folds": 2}
    raw["fusion"] |= {
        "models": ["logistic_expression", "image", "expression", "late_mean", "cross_attention"],
        "members": 2,
        "epochs": 8,
        "width": 16,
    }
    raw["control"] = {"permuted_labels": False}
    raw["decide"] = {"learning_curve": {"models": ["logistic_expression"], "shares": [0.25, 0.5]}}
    for name, patients in LABORATORIES.items():
        raw["cohorts"][name] = small_laboratory(folder, raw["cohorts"][name], patients=patients)
    raw["sae"] |= {"expansion": 2, "k": 8, "epochs": 3, "seeds": 2}
    raw["mechanics"] = mechanics or {}
    for section, values in changes.items():
        raw[section] = {**raw.get(section, {}), **values} if isinstance(values, dict) else values
    (folder / "config/config.yaml").write_text(yaml.safe_dump(raw))


def small_laboratory(folder, raw, *, patients, cells_per_patient=6):
    """Write the tables of the first patients of a laboratory of the demo; `raw`, its configuration, with these tables."""
    cells = pd.read_csv(ROOT / raw["cells"]["table"], sep="\t", dtype=str)
    known = pd.read_csv(ROOT / raw["patients"], sep="\t", dtype=str).head(patients)
    chosen = cells[cells["patient"].isin(known["patient"])].groupby("patient").head(cells_per_patient)
    tables = {raw["cells"]["table"]: chosen, raw["patients"]: known}
    paths = {path: f"config/{Path(path).name}" for path in tables}
    for path, table in tables.items():
        table.to_csv(folder / paths[path], sep="\t", index=False)
    given = {**raw["cells"], "table": paths[raw["cells"]["table"]]}
    return {**raw, "patients": paths[raw["patients"]], "cells": given}


def hashes(results):
    """File → SHA-256 of everything under `results` that does not tell of times."""
    return {
        str(path.relative_to(results)): sha256_of(path)
        for path in sorted(results.rglob("*"))
        if path.suffix in SAME and not MECHANICS & set(path.relative_to(results).parts)
    }
