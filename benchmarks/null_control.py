"""How often the negative control is wrong: cohorts without a signal, and a model that has seen the test patients' labels.

    python benchmarks/null_control.py --cohorts 40

Prints per kind of cohort and model: cohorts, how many were called a leak, how many had p <= 0.05, the mean AUROC on
shuffled labels, and the mean over pairs of one site and test fold. Only the last kind has a leak: before each
cross-validation the ten genes that tell all patients' labels apart best are chosen.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from histoweave.cohort.folds import make_folds
from histoweave.cohort.shuffles import make_shuffles
from histoweave.evaluation.null import MATCHED, PLAIN, null_table, scores, summarise
from histoweave.fusion.models.best_gene import gene_scores
from histoweave.fusion.null import refit, relabelled
from histoweave.settings.folds import Folds
from histoweave.settings.fusion import Fusion

KINDS = ("no sites", "labels and RNA depend on the site", "no sites, genes chosen on all patients")
CLASSES, NO_SLIDES = ["neg", "pos"], pd.DataFrame(columns=["slide", "patient", "status", "features"])


def draw(kind: str, *, n: int, n_genes: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients and their RNA, without any effect of the label itself."""
    site = rng.integers(6, size=n)
    with_sites = kind == KINDS[1]
    share = np.array([0.2, 0.3, 0.4, 0.6, 0.7, 0.8])[site] if with_sites else np.full(n, 0.5)
    rna = rng.normal(size=(n, n_genes)) + with_sites * rng.normal(size=(6, n_genes))[site]
    ids = [f"P{i:03d}" for i in range(n)]
    patients = pd.DataFrame({"patient": ids, "label": np.where(rng.random(n) < share, "pos", "neg")})
    patients["site"] = [f"S{s}" for s in site] if with_sites else None
    patients = patients.assign(has_image=False, has_expression=True, complete=False, included=True)
    table = pd.DataFrame(rna, columns=[f"G{i}" for i in range(n_genes)])
    table.insert(0, "patient", ids)
    return patients, table


def chosen_on_all(expression: pd.DataFrame, patients: pd.DataFrame, *, n: int = 10) -> pd.DataFrame:
    """The leak: the genes that tell the labels of all patients apart, those of every test part among them."""
    genes = expression.columns[1:]
    ranked = np.argsort(
        -gene_scores(expression[genes].to_numpy(), patients["label"].to_numpy(dtype=str)), kind="stable"
    )
    return expression[["patient", *genes[ranked[:n]]]]


def control_of(kind: str, models: list[str], *, n: int, n_genes: int, shuffles: int, seed: int) -> pd.DataFrame:
    """The summary of one cohort's negative control."""
    patients, expression = draw(kind, n=n, n_genes=n_genes, rng=np.random.default_rng([seed, KINDS.index(kind)]))
    labels, folds, _ = make_shuffles(patients, shuffles=shuffles, settings=Folds(), seed=seed)
    groups = labels.drop_duplicates("patient").set_index("patient")["group"]
    true_folds, _ = make_folds(patients, settings=Folds(), seed=seed)

    def scored(model: str, table: pd.DataFrame, of_folds: pd.DataFrame) -> pd.DataFrame:
        return refit(
            model,
            patients=table,
            folds=of_folds,
            slides=NO_SLIDES,
            expression=chosen_on_all(expression, table) if kind == KINDS[2] else expression,
            classes=CLASSES,
            settings=Fusion(),
            seed=seed,
            device="cpu",
        )

    true, refits = [], []
    for model in models:
        true.append(scores(scored(model, patients, true_folds), groups=groups, classes=CLASSES).assign(model=model))
        for shuffle, own in labels.groupby("shuffle"):
            table = scored(model, relabelled(patients, own), folds[folds["shuffle"] == shuffle])
            refits.append((model, table.assign(shuffle=shuffle)))
    null = null_table(refits, groups=groups, classes=CLASSES, modalities=["expression"])
    return summarise(null, pd.concat(true), order=models, confidence=0.95).assign(kind=kind, cohort=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=20, help="cohorts of each kind")
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--genes", type=int, default=200)
    parser.add_argument("--shuffles", type=int, default=20)
    parser.add_argument("--models", nargs="+", default=["best_gene", "logistic_expression"])
    given = parser.parse_args()
    size = {"n": given.patients, "n_genes": given.genes, "shuffles": given.shuffles}
    print("| cohorts | model | n | called a leak | p <= 0.05 | mean on shuffles | within site and fold |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind in KINDS:
        found = pd.concat([control_of(kind, given.models, seed=seed, **size) for seed in range(given.cohorts)])
        for model, rows in found.groupby("model", sort=False):
            plain, matched = (rows[rows["metric"] == metric] for metric in (PLAIN, MATCHED))
            print(
                f"| {kind} | {model} | {len(plain)} | {plain['leak'].sum()} | {(plain['p'] <= 0.05).sum()} "
                f"| {plain['null_mean'].mean():.3f} | {matched['null_mean'].mean():.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
