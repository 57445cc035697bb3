"""Models of TCGA's RNA on cohorts of other platforms: log2 values or ranks, as they come or aligned.

    python benchmarks/external.py [--json FILE]

Everything runs through the workflow's own functions: five folds, temperatures, conformal scores, a bundle, its comparison
and its application. Accuracy, AUROC and the coverage of sets at 90 % (one threshold for all; one for each class, and
then of the class that is covered least) are of the external patients, with their labels, which nothing has seen.

- subtypes: TCGA-BRCA, RSEM, the 50 PAM50 genes, five classes. 47 tumours are held back; they are applied to as RSEM, as
  counts per million of another quantification (log2), and as FPKM with gene lengths drawn at random (simulated).
- ER status: the same patients, on the genes that microarrays have too; VDX and EXPO (genefu) are microarrays, log2.
- mixOmics: 150 tumours of three classes, and 70 others of the same study, whose smallest values are far lower.

Where units differ, log2 values as they come are refused; here they are declared to be in training's unit, to see what
would have become of them.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import ROOT, machine, show

from histoweave.apply.apply_bundle import apply
from histoweave.apply.bundle import write_bundle
from histoweave.apply.compare_with_bundle import compare
from histoweave.apply.training import Training
from histoweave.cohort.folds import make_folds
from histoweave.decide import calibrate
from histoweave.decide.conformal import conformal_scores
from histoweave.evaluation.bootstrap import bootstrap, interval
from histoweave.evaluation.evaluate import pool
from histoweave.expression.normalise import log_normalise
from histoweave.fusion import catalog
from histoweave.fusion.fusion_fold import run_fold
from histoweave.settings.apply import Apply
from histoweave.settings.evaluation import Evaluation
from histoweave.settings.folds import Folds
from histoweave.settings.fusion import Fusion
from histoweave.storage.files import read_table

DATA = ROOT.parent / "shared" / "data"
MODELS = [name for name in ("centroid", "logistic_expression") if name in catalog.names()]
TRANSFORMS, ALIGN, LEVEL, N_FOLDS = ("log2", "ranks"), ("none", "median", "quantile"), 0.9, 5
EVALUATION = Evaluation(bootstrap=1000)
SLIDE_COLUMNS = ("slide", "patient", "status", "features", "level0_mpp", "mpp_source", "n_tiles", "scanner_vendor")
NO_SLIDES = pd.DataFrame(columns=[*SLIDE_COLUMNS, "scanner_model"])


@dataclass(frozen=True)
class Rna:
    """Patients with RNA: log2 values (patients × genes), their labels in the same order, the unit they were given in."""

    name: str
    expression: pd.DataFrame
    labels: pd.Series
    unit: str

    @property
    def patients(self) -> pd.DataFrame:
        """As the cohort stage writes them."""
        ids = list(self.expression.index)
        fixed = {"site": None, "included": True, "complete": True, "has_image": False, "has_expression": True}
        return pd.DataFrame({"patient": ids, "label": list(self.labels)}).assign(**fixed)

    @property
    def table(self) -> pd.DataFrame:
        """As the expression stage writes it."""
        return self.expression.rename_axis("patient").reset_index()


# ---------------------------------------------------------------- data


def rsem() -> tuple[pd.DataFrame, pd.DataFrame]:
    """log2(1 + RSEM) of 50 genes, and the clinical columns of the same patients' primary tumours."""
    source = DATA / "tcga_brca_pam50_rsem"
    values = pd.read_csv(source / "pam50_gene_expression.csv", index_col="PATIENT_ID")
    clinical = pd.read_csv(source / "xena_BRCA_clinicalMatrix_columns.tsv", sep="\t", dtype=str)
    clinical = clinical[clinical["sample_type"] == "Primary Tumor"]
    clinical = clinical.assign(patient=clinical["sampleID"].str[:12]).drop_duplicates("patient").set_index("patient")
    known = values.index.intersection(clinical.index)
    return log_normalise(values.loc[known], unit="rsem"), clinical.loc[known]


def counts() -> pd.DataFrame:
    """Raw counts of 60 of these tumours, all genes."""
    table = pd.read_csv(DATA / "pathanalyser_tcga_counts" / "ER_TCGA_RNAseq.csv.gz", index_col="gene").T
    return table.set_axis(table.index.str.replace(".", "-"), axis=0)


def arrays(name: str) -> tuple[pd.DataFrame, pd.Series]:
    """Microarrays, symbols in place of probes (the brightest of a gene), and ER status (1, 0, NaN)."""
    source = DATA / "genefu_breast"
    data = pd.read_csv(source / f"data.{name}.csv.gz", index_col="sample")
    symbols = pd.read_csv(source / f"annot.{name}.csv").set_index("probe")["HUGO.gene.symbol"].dropna()
    order = data[[probe for probe in data if probe in symbols.index]].mean().sort_values(ascending=False).index
    chosen = symbols.loc[order].drop_duplicates()
    er = pd.read_csv(source / f"demo.{name}.csv", index_col="row")["er"]
    return data[chosen.index].set_axis(chosen.to_list(), axis=1), er.reindex(data.index)


def subtypes() -> tuple[Rna, list[Rna]]:
    """TCGA without 47 tumours, and these in three units."""
    values, clinical = rsem()
    other = counts()
    called = clinical["PAM50Call_RNAseq"].dropna()
    held = [patient for patient in other.index if patient in called.index]
    kept = [patient for patient in called.index if patient not in other.index]
    per_million = other.div(other.sum(axis=1), axis=0)[list(values.columns)].loc[held] * 1e6
    length_kb = 2 ** np.random.default_rng(1).uniform(-1, 3.3, values.shape[1])
    units = {
        "47 held back, RSEM": (values.loc[held], "rsem"),
        "47 held back, counts": (np.log2(1 + per_million), "counts"),
        "47 held back, FPKM*": (np.log2(1 + per_million / length_kb), "log2"),
    }
    home = Rna("TCGA subtypes", values.loc[kept], called[kept], "rsem")
    return home, [Rna(name, table, called[held], unit) for name, (table, unit) in units.items()]


def receptors() -> tuple[Rna, list[Rna]]:
    """ER status of TCGA on the genes of both platforms, and two cohorts on microarrays."""
    values, clinical = rsem()
    status = clinical["breast_carcinoma_estrogen_receptor_status"]
    status = status[status.isin(["Positive", "Negative"])].map({"Positive": "ER+", "Negative": "ER-"})
    found, genes = [], list(values.columns)
    for name in ("vdxs", "expos"):
        table, er = arrays(name)
        genes = [gene for gene in genes if gene in table]
        er = er.dropna().map({1: "ER+", 0: "ER-"})
        found.append((f"{name[:-1].upper()}, microarray", table.loc[er.index], er))
    home = Rna("TCGA ER status", values.loc[status.index, genes], status, "rsem")
    return home, [Rna(name, table[genes], er, "log2") for name, table, er in found]


def mixomics() -> tuple[Rna, list[Rna]]:
    """150 tumours and 70 others."""
    found = []
    for part in ("train", "test"):
        source = DATA / "mixomics_breast_tcga"
        values = pd.read_csv(source / f"data.{part}.mrna.csv.gz", index_col="sample")
        labels = pd.read_csv(source / f"data.{part}.subtype.csv", index_col="sample")["subtype"]
        found.append(Rna(f"mixOmics, {part}", values, labels[values.index], "log2"))
    return found[0], found[1:]


# ---------------------------------------------------------------- training and applying


def bundle(home: Rna, transform: str, folder: Path) -> tuple[Path, pd.DataFrame]:
    """Fit, calibrate and pack; returns the bundle and the out-of-fold predictions."""
    classes = sorted(set(home.labels))
    folds, _ = make_folds(home.patients, settings=Folds(n_folds=N_FOLDS, group_by="patient"), seed=1)
    settings = Fusion(expression_transform=transform)
    tables = []
    for model, k in itertools.product(MODELS, range(N_FOLDS)):
        out = folder / "fusion" / model / f"fold{k}"
        run_fold(
            model=model, k=k, patients=home.patients, folds=folds, slides=NO_SLIDES, expression=home.table,
            classes=classes, settings=settings, seed=1, permutations=1, device="cpu", out_dir=out,
        )  # fmt: skip
        tables.append((model, read_table(out / "predictions.parquet")))
    test = pool(tables)
    temperatures = calibrate.temperatures(pd.concat([t.assign(model=m) for m, t in tables]), classes)
    metrics = pd.DataFrame(columns=["model", "metric", "scope", "estimate", "ci_low", "ci_high", "n"])
    training = Training(
        cohort="home", classes=classes, positive=None if len(classes) > 2 else classes[-1], models=MODELS,
        n_folds=N_FOLDS, repeats=1, tiles={}, root=folder / "fusion", patients=home.patients, slides=NO_SLIDES,
        metrics=metrics, how_folded={"method": "stratified"}, expression=home.table, unit=home.unit,
        temperatures=temperatures, scores=conformal_scores(calibrate.calibrated(test, temperatures, classes), classes),
    )  # fmt: skip
    write_bundle(folder / "bundle.zip", training)
    return folder / "bundle.zip", test


def measured(packed: Path, away: Rna, *, unit: str, align: str, folder: Path) -> pd.DataFrame:
    """`model` and the figures of one application."""
    settings = Apply(align=align, level=LEVEL)
    given = {"patients": away.patients, "slides": NO_SLIDES, "expression": away.table}
    names = ("compatibility", "drift", "plausible", "predictions", "members", "metrics", "coverage")
    out = {name: folder / f"{name}.{'json' if name == 'compatibility' else 'parquet'}" for name in names}
    compare(packed, **given, samples=None, unit=unit, tiles={}, settings=settings, out=out)
    # Nothing is withheld here, so that it is seen what withholding spares.
    apply(
        packed, **given, compatibility_json=out["compatibility"], judged=read_table(out["plausible"]).head(0),
        settings=settings, evaluation=EVALUATION, seed=1, out=out,
    )  # fmt: skip
    metrics, coverage = read_table(out["metrics"]), read_table(out["coverage"])
    rows = []
    for model, of_model in metrics[metrics["scope"] == "pooled"].groupby("model", sort=False):
        value = of_model.set_index("metric")[["estimate", "ci_low", "ci_high"]]
        row = {"model": model, "n": int(of_model["n"].max())}
        row |= {name: value.loc[name].tolist() for name in ("accuracy", "auroc")}
        for kind, found in coverage[coverage["model"] == model].groupby("kind"):
            pooled, within = found[found["scope"] == "pooled"].iloc[0], found[found["scope"].str.startswith("class:")]
            row[kind] = [pooled["coverage"], within["coverage"].min(), pooled["mean_set_size"]]
        rows.append(row)
    return pd.DataFrame(rows)


def at_home(tests: dict[str, pd.DataFrame], classes: list[str]) -> dict[str, list[float]]:
    """Model → accuracy of log2, of ranks, and their paired difference with its interval, out of fold."""
    found = {}
    for model in MODELS:
        columns = [f"p_{label}" for label in classes]
        right = {}
        for transform, test in tests.items():
            rows = test[test["model"] == model].sort_values("patient")
            called = np.array(classes)[rows[columns].to_numpy().argmax(axis=1)]
            right[transform] = (called == rows["y_true"]).to_numpy(float)
        change = right["ranks"] - right["log2"]
        _, draws = bootstrap(lambda w, x=change: (w @ x / w.sum(axis=1))[:, None], len(change), draws=2000, seed=1)
        (low,), (high,) = interval(draws, confidence=0.95)
        found[model] = [right["log2"].mean(), right["ranks"].mean(), change.mean(), float(low), float(high)]
    return found


def main(options: argparse.Namespace) -> None:
    figures: dict[str, Any] = {"machine": machine(), "home": {}, "away": []}
    print("| fitted on | applied to | model | values | aligned | n | accuracy | AUROC | covered, one threshold: all, least class, size | one per class: all, least class, size |")  # fmt: skip
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        for home, others in (subtypes(), receptors(), mixomics()):
            tests = {}
            for transform in TRANSFORMS:
                folder = Path(name, home.name, transform)
                packed, tests[transform] = bundle(home, transform, folder)
                for away, align in itertools.product(others, ALIGN):
                    forced = transform == "log2" and align == "none"
                    unit = home.unit if forced else away.unit
                    found = measured(packed, away, unit=unit, align=align, folder=folder / away.name / align)
                    found = found.assign(home=home.name, away=away.name, values=transform, align=align)
                    figures["away"] += found.to_dict("records")
                    for row in found.to_dict("records"):
                        print(line(row), flush=True)
            figures["home"][home.name] = at_home(tests, sorted(set(home.labels)))
    rows = [
        (f"{home}, {model}", f"{a:.3f} → {b:.3f}: {change:+.3f} [{low:+.3f}, {high:+.3f}]")
        for home, by_model in figures["home"].items()
        for model, (a, b, change, low, high) in by_model.items()
    ]
    show("Accuracy at home, out of fold: log2 → ranks", rows, figures, options.json)


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    numbers = [f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in (row["accuracy"], row["auroc"])]
    sets = [" / ".join(f"{value:.2f}" for value in row[kind]) for kind in ("marginal", "class")]
    head = (row["home"], row["away"], row["model"], row["values"], row["align"], str(row["n"]))
    return "| " + " | ".join((*head, *numbers, *sets)) + " |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="write the figures to this file")
    main(parser.parse_args())
