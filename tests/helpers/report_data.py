"""A synthetic finished run: every table of docs/artefacts.md, with awkward content on purpose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from confounding_data import write_confounding
from report_parts_data import write_decide, write_explain, write_overlays, write_slides
from sklearn.metrics import average_precision_score, confusion_matrix, precision_recall_curve, roc_auc_score

from histoweave.evaluation.choice import choose
from histoweave.evaluation.null import summarise
from histoweave.evaluation.operating import operating_points
from histoweave.evaluation.roc import roc
from histoweave.fusion import catalog
from histoweave.pages.report.inputs import ReportInputs
from histoweave.settings.evaluation import Evaluation
from histoweave.storage.files import write_json, write_table
from histoweave.tabular.reading import Reading

HOSTILE = "<script>alert('reason')</script>"
METRICS = (
    "accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "auroc", "average_precision", "mcc", "ece",
    "brier",
)  # fmt: skip
# How far the positive class's score lies from the others', in standard deviations.
_SEPARATION = {
    "majority": 0.0, "best_gene": 0.8, "top_pairs": 0.9, "centroid": 1.0, "logistic_expression": 1.2, "logistic_image": 0.7,
    "logistic_both": 1.4, "image": 1.1, "expression": 1.3,
}  # fmt: skip


def _predictions(
    rng: np.random.Generator,
    *,
    models: tuple[str, ...],
    patients: pd.DataFrame,
    classes: list[str],
    n_folds: int,
    signal: float = 1.0,
) -> pd.DataFrame:
    tables = []
    for model in models:
        truth = np.array([classes.index(label) for label in patients["label"]])
        scores = rng.normal(size=(len(patients), len(classes)))
        scores[np.arange(len(truth)), truth] += signal * _SEPARATION.get(model, 2.4)
        scores *= model != "majority"
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        table = patients[["patient", "label", "has_image", "has_expression"]].rename(columns={"label": "y_true"})
        table = table.assign(model=model, repeat=0, fold=np.arange(len(table)) % n_folds, role="test")
        for index, label in enumerate(classes):
            table[f"p_{label}"] = (odds / odds.sum(axis=1, keepdims=True))[:, index]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _metrics(predictions: pd.DataFrame, *, classes: list[str], sites: list[str], rng: np.random.Generator):
    rows, confusion, reliability, curves = [], [], [], []
    for model, table in predictions.groupby("model", sort=False):
        y = np.array([classes.index(label) for label in table["y_true"]])
        p = table[[f"p_{label}" for label in classes]].to_numpy()
        call = p.argmax(axis=1)
        one_hot = np.eye(len(classes))[y]
        auroc = roc_auc_score(y, p[:, 1]) if len(classes) == 2 else roc_auc_score(y, p, multi_class="ovr")
        ap = average_precision_score(one_hot[:, 1:], p[:, 1:])
        values = dict.fromkeys(METRICS, float((call == y).mean()))
        values |= {"auroc": auroc, "average_precision": ap, "ece": 0.08, "brier": 0.15}
        scopes = [
            "pooled",
            *(f"fold{k}" for k in range(table["fold"].nunique())),
            *(f"site:{s}" for s in sites),
        ]
        for scope in [*scopes, "incomplete", *(f"class:{label}" for label in classes)]:
            extra = {"f1": 0.7, "precision": 0.7, "recall": 0.7} if scope.startswith("class:") else {}
            for metric, value in (values | extra).items():
                half = rng.uniform(0.03, 0.1)
                undefined = scope == f"site:{sites[-1]}" and metric == "auroc"
                rows.append({
                    "model": model, "metric": metric, "scope": scope,
                    "estimate": np.nan if undefined else value,
                    "ci_low": np.nan if undefined else value - half,
                    "ci_high": np.nan if undefined else min(value + half, 1.0), "n": len(table),
                })  # fmt: skip
        counts = confusion_matrix(y, call, labels=range(len(classes)))
        confusion += [
            {"model": model, "y_true": a, "y_pred": b, "n": int(counts[i, j])}
            for i, a in enumerate(classes)
            for j, b in enumerate(classes)
        ]
        top = p.max(axis=1)
        bins = np.minimum((top * 10).astype(int), 9)
        reliability += [
            {
                "model": model, "bin": b, "n": int((bins == b).sum()),
                "confidence": top[bins == b].mean() if (bins == b).any() else np.nan,
                "accuracy": (call == y)[bins == b].mean() if (bins == b).any() else np.nan,
            }
            for b in range(10)
        ]  # fmt: skip
        for index in range(1 if len(classes) == 2 else 0, len(classes)):
            precision, recall, threshold = precision_recall_curve(one_hot[:, index], p[:, index])
            curves.append(pd.DataFrame({
                "model": model, "class": classes[index], "recall": recall, "precision": precision,
                "threshold": np.append(threshold, np.inf),
            }))  # fmt: skip
    return {
        "metrics": pd.DataFrame(rows),
        "confusion": pd.DataFrame(confusion),
        "reliability": pd.DataFrame(reliability),
        "curves": pd.concat(curves, ignore_index=True),
    }


def _operating(predictions: pd.DataFrame, *, models: tuple[str, ...], classes: list[str]) -> dict[str, pd.DataFrame]:
    """Thresholds of each fold from the next fold's patients."""
    n_folds, parts = predictions["fold"].nunique(), []
    for model in models:
        own = predictions[predictions["model"] == model].drop(columns="model")
        for fold in range(n_folds):
            roles = own["fold"].map({fold: "test", (fold + 1) % n_folds: "val"}).fillna("train")
            parts.append((model, own.assign(role=roles, fold=fold, cluster=own["patient"])))
    modalities = frozenset().union(*(catalog.get(model).modalities for model in models))
    return operating_points(parts, classes=classes, modalities=modalities, confidence=0.95)


def _patients(rng: np.random.Generator, *, n: int, classes: list[str], sites: list[str]) -> pd.DataFrame:
    patients = pd.DataFrame({
        "patient": [f"TCGA-ZA-{i:04d}" for i in range(1, n + 1)],
        "label": [classes[int(i)] for i in rng.integers(0, len(classes), n)],
        "site": [sites[int(i)] for i in rng.integers(0, len(sites), n)],
        "n_slides": 1, "has_image": True, "has_expression": True, "included": True,
        "complete": True, "reason": "",
    })  # fmt: skip
    patients.loc[0, ["n_slides", "has_image", "complete"]] = [0, False, False]
    patients.loc[1, ["has_expression", "complete"]] = [False, False]
    return patients


def _slides(patients: pd.DataFrame) -> pd.DataFrame:
    slides = pd.DataFrame({
        "slide": patients["patient"] + "-01Z-00-DX1", "patient": patients["patient"],
        "path": [f"slides/{p}.tiff" for p in patients["patient"]], "status": "ok", "reason": "", "stage": "",
        "n_tiles": 45, "n_failed_tiles": 0, "level0_mpp": 0.5, "mpp_source": "openslide", "pen_share": 0.02,
        "features": "features.h5", "features_sha256": "0" * 64,
    })  # fmt: skip
    slides.loc[0, ["status", "reason", "stage", "n_tiles"]] = ["unreadable", HOSTILE, "tiles", 0]
    slides.loc[2, ["status", "reason", "stage", "n_tiles", "level0_mpp", "mpp_source"]] = [
        "no_mpp", "the file has no spacing; give it in the column 'mpp' of the slides table", "tiles", 0,
        np.nan, "none",
    ]  # fmt: skip
    slides.loc[3, ["status", "reason", "stage"]] = [
        "unreadable_tiles",
        "9 of 45 tiles cannot be read",
        "features",
    ]
    return slides


def _flow(n: int) -> pd.DataFrame:
    rows = [
        ("in the patients table", "patients", n + 2, n + 2, 0, "", ""),
        ("with a label", "patients", n + 2, n, 2, "label is null in label_map", "TCGA-ZA-0900; TCGA-ZA-0901"),
        ("in the slides table", "slides", n, n, 0, "", ""),
        ("tiled", "slides", n, n - 2, 2, HOSTILE, "TCGA-ZA-0001-01Z-00-DX1; TCGA-ZA-0003-01Z-00-DX1"),
        ("features extracted", "slides", n - 2, n - 3, 1, "unreadable_tiles", "TCGA-ZA-0004-01Z-00-DX1"),
        ("one primary-tumour aliquot per patient", "samples", n + 1, n - 1, 2, "duplicate aliquot", "a; b"),
        ("with at least one modality", "patients", n, n, 0, "", ""),
    ]
    return pd.DataFrame(rows, columns=["step", "unit", "n_in", "n_out", "n_lost", "reason", "ids"])


def _folds(patients: pd.DataFrame, n_folds: int) -> pd.DataFrame:
    rows = []
    for fold in range(n_folds):
        for index, patient in enumerate(patients["patient"]):
            role = "test" if index % n_folds == fold else ("val" if index % 7 == 0 else "train")
            rows.append({"patient": patient, "repeat": 0, "fold": fold, "role": role})
    return pd.DataFrame(rows)


def _comparisons(metrics: pd.DataFrame, models: tuple[str, ...]) -> pd.DataFrame:
    pooled = metrics[metrics["scope"] == "pooled"].set_index(["model", "metric"])
    rows = []
    for metric in ("auroc", "average_precision", "accuracy", "balanced_accuracy", "f1_macro"):
        for i, b in enumerate(models):
            for a in models[i + 1 :]:
                difference = pooled.loc[(a, metric), "estimate"] - pooled.loc[(b, metric), "estimate"]
                rows.append({
                    "model_a": a, "model_b": b, "metric": metric, "difference": difference,
                    "ci_low": difference - 0.06, "ci_high": difference + 0.06, "n": 58,
                })  # fmt: skip
    columns = ["model_a", "model_b", "metric", "difference", "ci_low", "ci_high", "n"]
    return pd.DataFrame(rows, columns=columns)


def _control(metrics: pd.DataFrame, *, models: tuple[str, ...], rng: np.random.Generator):
    """Scores on 20 shuffles of the models without a network and on one of the others, and their summary."""
    tables = []
    for model in models:
        n = 1 if catalog.get(model).neural or catalog.get(model).needs else 20
        for metric in ("auroc", "auroc_matched"):
            values = rng.normal(0.49, 0.07, n)
            tables.append(
                pd.DataFrame({"model": model, "shuffle": range(n), "metric": metric, "value": values, "se": 0.08})
            )
    null = pd.concat(tables, ignore_index=True)
    pooled = metrics[(metrics["scope"] == "pooled") & (metrics["metric"] == "auroc")]
    true = pooled[["model", "metric"]].assign(value=pooled["estimate"])
    true = pd.concat([true, true.assign(metric="auroc_matched")])
    return null, summarise(null, true, order=list(models), confidence=0.95)


def _modality_use(metrics: pd.DataFrame, models: tuple[str, ...]) -> pd.DataFrame:
    pooled = metrics[metrics["scope"] == "pooled"].set_index(["model", "metric"])["estimate"]
    rows = []
    for model in models:
        for modality in catalog.MODALITIES:
            for metric in ("auroc", "average_precision", "accuracy", "mean_abs_change", "changed_calls"):
                used = modality in catalog.get(model).modalities
                change = metric in ("mean_abs_change", "changed_calls")
                intact = 0.0 if change else pooled[model, metric]
                drop = 0.25 * used
                rows.append({
                    "model": model, "modality": modality, "metric": metric, "intact": intact,
                    "permuted": intact + drop if change else intact - drop, "drop": drop,
                    "ci_low": drop - 0.08 * used, "ci_high": drop + 0.08 * used, "n": 58,
                })  # fmt: skip
    return pd.DataFrame(rows)


def _history(rng: np.random.Generator, epochs: int = 40) -> pd.DataFrame:
    epoch = np.arange(epochs)
    val = 0.35 + 0.4 * np.exp(-epoch / 6) + 0.004 * np.maximum(epoch - 18, 0) + rng.normal(0, 0.02, epochs)
    train = 0.15 + 0.6 * np.exp(-epoch / 9) + rng.normal(0, 0.01, epochs)
    best = epoch == int(np.argmin(val))
    one = pd.DataFrame({"member": 0, "epoch": epoch, "train_loss": train, "val_loss": val, "best": best})
    return pd.concat([one, one.assign(member=1, val_loss=val + 0.02)], ignore_index=True)


def _benchmark(path: Path, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    path.write_text(header + f"{seconds:.4f}\t0:00:01\t310.5\t900.0\t280.0\t290.0\t1.0\t2.0\t95.0\t{seconds:.2f}\n")


def write_run(
    folder: Path,
    *,
    models: tuple[str, ...] = catalog.names(),
    classes: tuple[str, ...] = ("Luminal", "Basal_Her2"),
    n_patients: int = 60,
    n_sites: int = 4,
    optional: bool = True,
    thumbnail_px: int = 252,
    seed: int = 3,
    signal: float = 1.0,
) -> ReportInputs:
    """Write the tables of a run below `folder`; with `optional=False` everything that may be absent is.

    Without the optional parts the run has no slides, no RNA, no negative control, no known truth, no trained
    model, no benchmark files, no explanations and nothing that decisions rest on. With `signal=0` no model knows
    anything.
    """
    rng = np.random.default_rng(seed)
    classes, sites, n_folds = list(classes), [f"Z{chr(65 + i)}" for i in range(n_sites)], 5
    patients = _patients(rng, n=n_patients, classes=classes, sites=sites)
    predictions = _predictions(rng, models=models, patients=patients, classes=classes, n_folds=n_folds, signal=signal)
    scored = _metrics(predictions, classes=classes, sites=sites, rng=rng)
    slides = _slides(patients)
    tables = scored | {
        "patients": patients,
        "flow": _flow(n_patients),
        "folds": _folds(patients, n_folds),
        "comparisons": _comparisons(scored["metrics"], models),
        "modality_use": _modality_use(scored["metrics"], models),
        "predictions": predictions,
        "choice": choose(
            predictions, classes=classes, order=models, settings=Evaluation(bootstrap=1000), seed=seed,
            modalities=sorted(frozenset().union(*(catalog.get(name).modalities for name in models))),
        ),
        "roc": roc(predictions, models=list(models), classes=classes),
        **_operating(predictions, models=models, classes=classes),
    }  # fmt: skip
    if not optional:
        tables["patients"] = patients.drop(columns="site")
        tables["modality_use"] = tables["modality_use"].head(0)
    paths = {name: folder / f"{name}.parquet" for name in tables}
    for name, table in tables.items():
        write_table(paths[name], table)
    write_json(
        folder / "folds.json",
        {"method": "stratified", "group_by": "patient", "n_folds": 5, "imbalance": 0.02},
    )
    common = {
        **paths,
        "cohort": "synthetic",
        "models": models,
        "classes": classes,
        "config": {"seed": seed, "cohorts": {"synthetic": {"label": HOSTILE}}, "tiles": {"target_mpp": 0.5}},
        "figures": folder / "figures",
        "folds_json": folder / "folds.json",
    }
    if not optional:
        return ReportInputs(**common)

    write_table(folder / "slides.parquet", slides)
    null, summary = _control(scored["metrics"], models=models, rng=rng)
    write_table(folder / "null.parquet", null)
    write_table(folder / "summary.parquet", summary)
    write_json(
        folder / "shuffles.json",
        {"within": "site", "patients": n_patients, "sites": n_sites, "one_class_sites": 1, "fixed": 3},
    )
    fused = [name for name in models if "image" in catalog.get(name).modalities and catalog.get(name).neural]
    truth = pd.DataFrame({
        "model": fused, "metric": "attention_auroc", "estimate": 0.86, "ci_low": 0.81,
        "ci_high": 0.9, "n": 31,
    })  # fmt: skip
    write_table(folder / "truth.parquet", truth)
    genes = pd.DataFrame({"gene": ["NUF2", "ESR1"], "source_name": ["CDCA1", "ESR1"], "n_missing": [0, 3]})
    write_table(folder / "genes.parquet", genes.assign(all_zero=[False, True]))
    report = {"unit": "counts", "formula": "log2(CPM + 1)", "aliases": {"CDCA1": "NUF2"}, "missing_pam50": []}
    ids = {"first_id": patients["patient"].iloc[0], "last_id": patients["patient"].iloc[-1]}
    of_rna = Reading(
        "rna.csv.gz", "text", 2, len(patients), "comma", "UTF-8", "genes_by_samples", **ids, table="expression"
    )
    report["read"] = of_rna.to_dict()
    of_patients = Reading(
        "patients.tsv",
        "text",
        len(patients),
        4,
        "tab",
        "UTF-8",
        notes="1 comment line skipped",
        **ids,
        table="patients",
    )
    write_table(folder / "read.parquet", pd.DataFrame([of_patients.to_dict()]))
    write_json(folder / "report.json", report)
    histories = {}
    for model in (name for name in models if catalog.get(name).neural):
        histories[model] = [folder / "fusion" / model / f"fold{k}" / "history.parquet" for k in range(n_folds)]
        for path in histories[model]:
            write_table(path, _history(rng))
    for stage, n_jobs, seconds in (
        ("tiles", 60, 1.0),
        ("features/resnet50", 60, 6.0),
        ("fusion/image", 5, 9.0),
    ):
        for job in range(n_jobs):
            _benchmark(folder / "benchmarks" / stage / f"job{job}.tsv", seconds * rng.lognormal(0, 0.3))
    _benchmark(folder / "benchmarks" / "cohort.tsv", 0.4)
    explain_folder = folder / "explain" / models[-1]
    thumbnails = write_slides(folder / "tiles", slides, rng=rng, edge_px=thumbnail_px)
    overlays = write_overlays(
        explain_folder / "overlays", slides.loc[slides["status"] == "ok", "slide"], rng=rng, edge_px=thumbnail_px
    )
    return ReportInputs(
        **common,
        read=folder / "read.parquet",
        slides=folder / "slides.parquet",
        expression_report=folder / "report.json",
        genes=folder / "genes.parquet",
        control_null=folder / "null.parquet",
        control_summary=folder / "summary.parquet",
        control_how=folder / "shuffles.json",
        truth=folder / "truth.parquet",
        confounding=write_confounding(folder / "confounding.parquet", models=models, within=(0.72, 0.58, 0.84)),
        benchmarks=folder / "benchmarks",
        histories=histories,
        thumbnails=thumbnails,
        overlays=overlays,
        explained=models[-1],
        explain=write_explain(explain_folder, patients=patients, classes=classes, rng=rng),
        decide=write_decide(folder / "decide", models=models, classes=classes, sites=sites, n=n_patients, rng=rng),
        links={"Concepts of the tiles": "concepts.html"},
        input_sha256={"patients.tsv": "ab" * 32, "slides.tsv": "cd" * 32},
        code={"tiles": "0123456789abcdef", "fusion": "fedcba9876543210"},
    )
