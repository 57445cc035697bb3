"""What each row of docs/reruns.md does to the cohort of stubs: a value for every key, a function for all else."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edits import (
    NOTHING,
    Run,
    append,
    arguments,
    checkout,
    code,
    cut_short,
    delete,
    environment,
    key,
    new_key,
    other_rights,
    profile,
    replace,
    swapped_unseen,
    touch,
)
from stubs import COHORT, EXTERNAL, PATIENTS, SLIDES, base_config, patient_row, write_bundle

_RESULTS = f"results/{COHORT}"

PLUGIN = """
import torch

def encoder():
    module = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
    half = (0.5, 0.5, 0.5)
    return {"module": module, "dim": 12, "input_px": 224, "mean": half, "std": half, "licence": "none"}
"""


# Every key that the tissue arm reads, `cohorts.<name>` being the cohort of stubs.
KEYS: dict[str, Any] = {
    "cohorts.<name>.patients": "copy/patients.tsv",
    "cohorts.<name>.slides": "copy/slides.tsv",
    "cohorts.<name>.expression.path": "copy/expression.tsv",
    "cohorts.<name>.expression.unit": "tpm",
    "cohorts.<name>.expression.orientation": "genes_by_samples",
    "cohorts.<name>.expression.sample_sheet": "sheet.tsv",
    "cohorts.<name>.ids": "plain",
    "cohorts.<name>.label": "grade",
    "cohorts.<name>.label_map": {"A": "Z"},
    "cohorts.<name>.positive": "A",
    "seed": 2,
    "on_error": "stop",
    "tiles.tile_px": 256,
    "tiles.target_mpp": 0.25,
    "tiles.overlap_px": 8,
    "tiles.mpp_tolerance": 0.1,
    "tiles.min_tissue": 0.6,
    "tiles.segmentation_mpp": 4.0,
    "tiles.min_region_um2": 1000.0,
    "tiles.pen": "keep",
    "tiles.max_pen_share": 0.8,
    "tiles.max_failed_share": 0.2,
    "features.encoder.name": "timm:vit_small_patch16_224",
    "features.encoder.weights": "other.safetensors",
    "features.encoder.plugin": "plugin.py",
    "features.encoder.input_px": 128,
    "features.encoder.mean": [0.5, 0.5, 0.5],
    "features.encoder.std": [0.5, 0.5, 0.5],
    "features.precision": "float16",
    "features.arithmetic": "float32",
    "folds.n_folds": 3,
    "folds.repeats": 2,
    "folds.group_by": "site",
    "folds.site_check": False,
    "folds.val_share": 0.3,
    "fusion.models": ["best_gene", "centroid", "image", "concat", "cross_attention"],
    "fusion.n_genes": 50,
    "fusion.expression_transform": "ranks",
    "fusion.gene_tokens": 4,
    "fusion.gene_sets": "other.gmt",
    "fusion.image_components": 8,
    "fusion.centroids": "centroids.tsv",
    "fusion.width": 32,
    "fusion.heads": 2,
    "fusion.members": 2,
    "fusion.dropout": 0.2,
    "fusion.learning_rate": 0.01,
    "fusion.weight_decay": 0.1,
    "fusion.epochs": 5,
    "fusion.patience": 3,
    "fusion.batch_patients": 4,
    "fusion.max_tiles": 64,
    "evaluation.bootstrap": 1500,
    "evaluation.confidence": 0.9,
    "evaluation.permutations": 10,
    "evaluation.confounders": ["grade"],
    "control.permuted_labels": False,
    "control.shuffles": 30,
    "control.network_shuffles": 2,
    "explain.models": ["image"],
    "explain.steps": 16,
    "explain.random_orders": 3,
    "explain.top_tiles": 4,
    "explain.gene_sets": "other.gmt",
    "decide.levels": [0.7],
    "decide.subgroups": ["grade"],
    "decide.learning_curve.models": ["image"],
    "decide.learning_curve.shares": [0.5],
    "decide.learning_curve.more_patients": 20,
    "apply.bundle": "other_bundle",
    "apply.missing_genes_limit": 0.1,
    "apply.align": "median",
    "apply.level": 0.8,
    "apply.insist": True,
    "privacy.pseudonyms": True,
    "privacy.columns": ["site", "age"],
    "privacy.key_env": "ANOTHER_KEY",
    "exports.forms": ["clam"],
    "mechanics.device": "cpu",
    "mechanics.tile_batch": 8,
    "mechanics.read_workers": 1,
    "mechanics.jobs_per_gpu": 2,
    "mechanics.keep_projected": False,
    "mechanics.slides_per_shard": 4,
}
SIMULATE: dict[str, Any] = {
    "cohorts.<name>.simulate.seed": 8,
    "cohorts.<name>.simulate.field_um": 700.0,
    "cohorts.<name>.simulate.n_genes": 300,
    "cohorts.<name>.simulate.planted_share": 0.5,
    "cohorts.<name>.simulate.stain": 0.5,
    "cohorts.<name>.simulate.library_scale": 2.0,
    "cohorts.<name>.simulate.no_mpp": ["S03"],
    "cohorts.<name>.simulate.no_tissue": ["S03"],
    "cohorts.<name>.simulate.truncated": ["S03"],
    "cohorts.<name>.simulate.without_rna": [PATIENTS[3]],
    "cohorts.<name>.simulate.duplicate_aliquot": [PATIENTS[3]],
}


# What is no key, of a simulated cohort.
DRAWN: dict[str, Callable[[Run], None]] = {
    "a drawn slide deleted": delete(f"{_RESULTS}/simulated/slides/S03.tiff"),
    "a drawn slide cut short": cut_short(f"{_RESULTS}/simulated/slides/S03.tiff"),
    "the truth of a drawn slide deleted": delete(f"{_RESULTS}/simulated/truth/S03.parquet"),
    "code: `simulate/scene.py`": code("simulate/scene.py"),
}


# Keys that exclude each other.
TOGETHER = {"features.encoder.plugin": {"features.encoder.weights": None}}


def changed_run(done: Path, folder: Path, change: str, *, simulated: bool = False) -> Run:
    """A copy of the finished cohort after one change, a row of docs/reruns.md."""
    shutil.copytree(done, folder, copy_function=shutil.copy2)
    run = Run(folder, copy.deepcopy(base_config(simulated=simulated)))
    values = KEYS | SIMULATE
    if change in values:
        _files_to_name(folder)
        run.set(change, values[change])
        for key, value in TOGETHER.get(change, {}).items():
            run.set(key, value)
    elif change != NOTHING:
        EVENTS[change](run)
    run.write()
    return run


def _files_to_name(folder: Path) -> None:
    (folder / "copy").mkdir()
    for name in ("patients.tsv", "slides.tsv", "expression.tsv"):
        if (folder / name).exists():
            shutil.copy2(folder / name, folder / "copy")
    shutil.copy2(folder / "weights.safetensors", folder / "other.safetensors")
    (folder / "plugin.py").write_text(PLUGIN)
    shutil.copy2(folder / "sets.gmt", folder / "other.gmt")
    write_bundle(folder / "other_bundle")
    (folder / "sheet.tsv").write_text("stub\n")
    (folder / "centroids.tsv").write_text("gene\tA\tB\nGENE1\t-1\t1\nGENE2\t1\t-1\n")


# ---------------------------------------------------------------- what is no key

SECTIONS = (
    "cohorts", "tiles", "features", "folds", "fusion", "evaluation", "control", "decide", "explain", "apply", "exports",
    "privacy", "mechanics", "cells", "sae", "concepts",
)  # fmt: skip


def _slide_added(run: Run) -> None:
    (run.folder / "slides/S99.svs").write_bytes(b"stub")
    append("slides.tsv", f"S99\t{PATIENTS[-1]}\tslides/S99.svs\t\n")(run)


def _slide_removed(run: Run) -> None:
    replace("slides.tsv", f"S03\t{SLIDES['S03']}\tslides/S03.svs\t\n", "")(run)


def _patient_added(run: Run) -> None:
    append("patients.tsv", patient_row("TCGA-A1-0099", "A"))(run)


def _patient_with_slide_added(run: Run) -> None:
    _patient_added(run)
    (run.folder / "slides/S99.svs").write_bytes(b"stub")
    append("slides.tsv", "S99\tTCGA-A1-0099\tslides/S99.svs\t\n")(run)


def _model_removed(run: Run) -> None:
    run.config["fusion"]["models"].remove("cross_attention")


def _cohort_added(run: Run) -> None:
    run.config["cohorts"]["another"] = copy.deepcopy(run.config["cohorts"][COHORT])


EVENTS: dict[str, Callable[[Run], None]] = {
    "`ids: auto` written as what it means": key("cohorts.<name>.ids", "tcga"),
    "`slides_per_shard`, the number of shards as before": key("mechanics.slides_per_shard", 12),
    "a slide's file has other bytes": append("slides/S03.svs", "more"),
    "a slide's file has a new time only": touch("slides/S03.svs"),
    "a slide's file has other content, of the same size and time": swapped_unseen("slides/S03.svs"),
    "a slide's file has other rights": other_rights("slides/S03.svs"),
    "a slide's `mpp` in the slides table": replace("slides.tsv", "slides/S03.svs\t", "slides/S03.svs\t0.5"),
    "a slide's tile file deleted": delete(f"{_RESULTS}/tiles/S03.h5"),
    "a slide's tile file cut short": cut_short(f"{_RESULTS}/tiles/S03.h5"),
    "a slide's feature file deleted": delete(f"{_RESULTS}/features/resnet50-weights/S03.h5"),
    "a slide's feature file cut short": cut_short(f"{_RESULTS}/features/resnet50-weights/S03.h5"),
    "a slide added": _slide_added,
    "a slide removed": _slide_removed,
    "a patient added, without a slide": _patient_added,
    "a patient added, with a slide": _patient_with_slide_added,
    "a patient's label or covariate": replace(
        "patients.tsv", patient_row(PATIENTS[3], "B"), patient_row(PATIENTS[3], "A")
    ),
    "a table has a new time only": touch("patients.tsv", "slides.tsv"),
    "the RNA matrix has other values": replace("expression.tsv", "GENE7\t1", "GENE7\t2"),
    "the RNA matrix has a new time only": touch("expression.tsv"),
    "the encoder's weights file has other bytes": append("weights.safetensors", "more"),
    "the gene sets file has other lines": append("sets.gmt", "SET2\tna\tGENE3\n"),
    "`cohort/` written anew with the same content": touch(
        *(f"{_RESULTS}/cohort/{name}.parquet" for name in ("patients", "slides", "flow"))
    ),
    "a model removed from `fusion.models`": _model_removed,
    "another cohort added to the configuration": _cohort_added,
    "an external cohort's label": replace(f"{EXTERNAL}.tsv", "X1\tA", "X1\tB"),
    "an external cohort's RNA": replace(f"{EXTERNAL}_rna.tsv", "GENE7\t1", "GENE7\t3"),
    "a fresh checkout": checkout,
    "comments and docstrings": code("slides/tissue.py", "\n# another comment\n"),
    "code: `slides/tissue.py`": code("slides/tissue.py"),
    "code: `slides/reader.py`": code("slides/reader.py"),
    "code: `encoders/fused.py`": code("encoders/fused.py"),
    "code: `expression/normalise.py`": code("expression/normalise.py"),
    "code: `cohort/join.py`": code("cohort/join.py"),
    "code: `cohort/folds.py`": code("cohort/folds.py"),
    "code: `fusion/train.py`": code("fusion/train.py"),
    "code: `evaluation/metrics.py`": code("evaluation/metrics.py"),
    "code: `explain/attribution.py`": code("explain/attribution.py"),
    "code: `decide/temperature.py`": code("decide/temperature.py"),
    "code: `apply/bundle.py`": code("apply/bundle.py"),
    "code: `apply/drift.py`": code("apply/drift.py"),
    "code: `pages/kit/style.py`": code("pages/kit/style.py"),
    **{f"code: a new key of `{section}`": new_key(section) for section in SECTIONS},
    "`envs/*.yaml`, without `--sdm conda`": environment,
    "another profile": profile,
    "`--cores`, `--set-threads`, `--set-resources`": arguments(
        "--cores", "1", "--set-threads", "tile_slides=1", "--set-resources", "extract_features:mem_mb=9000"
    ),
    **DRAWN,
}
