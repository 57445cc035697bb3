"""Fit models on cohorts of the family and write one row for each: how well each finds what is there.

    python -m benchmarks.family --members interaction-glands-72 none-glands-72 --models concat cross_attention \
        --settings small large --out family.tsv --conclusions conclusions.tsv --work /scratch/family

Rows are written as they come; what a table or the working folder already holds is not made again. Cohorts whose hidden factors
are drawn alike share their slides and RNA.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2] / "workflow"))

import pandas as pd
from sklearn.metrics import roc_auc_score

from histoweave.evaluation.choice import choose
from histoweave.fusion.catalog import MODALITIES
from histoweave.settings.fusion import Fusion

from .fits import EVALUATION, SEED, Cohort, conclusion_of, fit_model, prepared
from .members import FAMILY, Member, member
from .patients import LABELS, draw_patients, oracle

MODELS = [name for name in Fusion().models if name != "majority"]
# Sizes of the networks: genes, gene tokens, components of tile features.
SETTINGS = {
    "small": {"n_genes": 200, "gene_tokens": 8, "image_components": 8},
    "middle": {"n_genes": 400, "gene_tokens": 12, "image_components": 16},
    "large": {"n_genes": 1000, "gene_tokens": 16, "image_components": 64},
    "default": {},
}


def main() -> None:
    given = _arguments()
    scores, conclusions = _Rows(given.out), _Rows(given.conclusions)
    for name in given.members:
        one = member(name)
        cohort = Cohort.read(prepared(one.drawn_as, given.work)).labelled(one)
        folds, _ = cohort.folds()
        for setting in given.settings:
            out = cohort.folder / "fits" / one.kind / setting
            settings = Fusion.model_validate(SETTINGS[setting] | {"members": given.networks})
            for model in given.models:
                key = {"member": name, "setting": setting, "model": model}
                if key in scores:
                    continue
                started = time.perf_counter()
                predictions = fit_model(cohort, model, folds, settings=settings, out=out)
                seconds = time.perf_counter() - started
                scores.add(key | {"oracle": _oracle(one), **_score(predictions, model), "seconds": seconds})
            key = {"member": name, "setting": setting, "models": " ".join(given.models)}
            if given.conclusions and key not in conclusions:
                found, _ = conclusion_of(cohort, given.models, settings=settings, out=out)
                named = {"single": found.single, "fused": found.fused, "simplest": found.simplest}
                conclusions.add(key | {"conclusion": found.kind} | named | {"better": " ".join(found.better)})


class _Rows:
    """A table that is written, and printed, row by row; `None`: nowhere."""

    def __init__(self, path: Path | None):
        self._path = path
        self._rows = pd.read_csv(path, sep="\t").to_dict("records") if path and path.is_file() else []

    def __contains__(self, key: dict[str, str]) -> bool:
        return any(key.items() <= row.items() for row in self._rows)

    def add(self, row: dict) -> None:
        self._rows.append(row)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(self._rows).to_csv(self._path, sep="\t", index=False, float_format="%.3f")
        print(
            "  ".join(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()), flush=True
        )


def _oracle(one: Member) -> float:
    """AUROC of who knows the hidden factors."""
    drawn = draw_patients(one)
    return roc_auc_score(drawn["label"] == LABELS[1], oracle(drawn, one))


def _score(predictions: pd.DataFrame, model: str) -> dict[str, float]:
    chosen = choose(
        predictions, classes=list(LABELS), order=[model], modalities=list(MODALITIES), settings=EVALUATION, seed=SEED
    )
    return chosen.iloc[0][["estimate", "ci_low", "ci_high"]].rename({"estimate": "auroc"}).to_dict()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.family", description=__doc__.splitlines()[0])
    parser.add_argument("--members", nargs="+", default=[one.name for one in FAMILY], help="cohorts; default: all")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--settings", nargs="+", default=["default"], choices=list(SETTINGS))
    parser.add_argument("--networks", type=int, default=5, help="networks per neural model and fold")
    parser.add_argument("--out", type=Path, required=True, help="table to write, and to go on with")
    parser.add_argument("--conclusions", type=Path, help="table of what a run with these models comes down to")
    parser.add_argument("--work", type=Path, required=True, help="folder for slides, features and fits")
    return parser.parse_args()


if __name__ == "__main__":
    main()
