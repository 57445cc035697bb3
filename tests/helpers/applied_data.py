"""A synthetic application of a bundle: every table that docs/artefacts.md names under `applied/`, awkward on purpose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from histoweave.pages.applied.inputs import AppliedInputs
from histoweave.storage.files import write_json, write_table

HOSTILE = "<script>alert('says')</script>"
CLASSES = ("Luminal", "Basal_Her2")
MODELS = {
    "majority": (),
    "image": ("image",),
    "expression": ("expression",),
    "cross_attention": ("image", "expression"),
}


def patients(n: int) -> pd.DataFrame:
    """Patients of two hospitals; the first lacks the image, the second the RNA, the third both."""
    table = pd.DataFrame(
        {
            "patient": [f"HB{i:05d}" for i in range(n)],
            "site": [f"ward {i % 2}" for i in range(n)],
            "has_image": True,
            "has_expression": True,
        }
    )
    table.loc[[0, 2], "has_image"] = False
    table.loc[[1, 2], "has_expression"] = False
    return table


def _predictions(rng: np.random.Generator, table: pd.DataFrame, *, labelled: bool) -> pd.DataFrame:
    truth = rng.integers(0, 2, len(table))
    parts = []
    for model, reads in MODELS.items():
        able = np.ones(len(table), dtype=bool)
        for modality in reads:
            able &= table[f"has_{modality}"].to_numpy()
        able &= table[["has_image", "has_expression"]].any(axis=1).to_numpy()
        p = np.clip(np.where(truth == 1, 0.8, 0.2) + rng.normal(0, 0.15, len(table)), 0.01, 0.99)
        part = table.assign(
            model=model,
            y_true=[CLASSES[t] for t in truth] if labelled else None,
            p_Luminal=np.where(able, 1 - p, np.nan),
            p_Basal_Her2=np.where(able, p, np.nan),
            called=[CLASSES[int(value > 0.5)] if can else None for value, can in zip(p, able, strict=True)],
            entropy=np.where(able, -(p * np.log(p) + (1 - p) * np.log(1 - p)), np.nan),
            disagreement=np.where(able, 0.02, np.nan),
            n_models=5,
            status=np.where(able, "ok", "cannot"),
            reason=[
                "" if can else f"no file of patient {patient} {HOSTILE}"
                for patient, can in zip(table["patient"], able, strict=True)
            ],
        )
        sets = ["Luminal; Basal_Her2" if abs(value - 0.5) < 0.2 else CLASSES[int(value > 0.5)] for value in p]
        held = [each if can else None for each, can in zip(sets, able, strict=True)]
        parts.append(part.assign(set=held, set_class=held, alignment="none"))
    return pd.concat(parts, ignore_index=True)


def _metrics() -> pd.DataFrame:
    scopes = ("pooled", "incomplete", *(f"class:{name}" for name in CLASSES), "site:ward 0", "site:ward 1")
    rows = [
        {"model": model, "metric": metric, "scope": scope, "estimate": 0.81, "ci_low": 0.7, "ci_high": 0.9, "n": 37}
        for model in MODELS
        for scope in scopes
        for metric in ("auroc", "accuracy", "balanced_accuracy", "f1_macro", "ece", "f1", "precision", "recall")
    ]
    return pd.DataFrame(rows)


def _coverage() -> pd.DataFrame:
    rows = [
        {"model": model, "level": 0.9, "kind": kind, "scope": scope, "coverage": 0.92, "ci_low": 0.78, "ci_high": 0.98,
         "mean_set_size": 1.2, "n": 37, "singletons": 30, "empty": 0}
        for model in MODELS
        for kind in ("marginal", "class")
        for scope in ("pooled", "class:Luminal", "site:ward 0")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _drift(rng: np.random.Generator) -> pd.DataFrame:
    rows = [
        {"modality": modality, "feature": f"{modality} {i}", "site": site, "value": float(rng.normal(0, 1.5)),
         "reference_low": -2.0, "reference_high": 2.0}
        for modality in ("image", "expression", "slides")
        for site in ("all", "ward 0", "ward 1")
        for i in range(8)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    return table.assign(
        flagged=table["value"].abs() > 2, says=[f"further off than HB00003 {HOSTILE}"] + [""] * (len(rows) - 1)
    )


def _odd(table: pd.DataFrame, status: str) -> pd.DataFrame:
    """The predictions in which models that read RNA abstain, or were insisted on."""
    rows = table["model"].isin(["expression", "cross_attention"]) & (table["status"] == "ok")
    table.loc[rows, "status"] = status
    table.loc[rows, "reason"] = f"RNA: the medians of 48 of 50 genes lie outside, as of HB00005 {HOSTILE}"
    table.loc[rows, ["set", "set_class"]] = None
    if status == "abstained":
        table.loc[rows, ["p_Luminal", "p_Basal_Her2", "entropy", "disagreement"]] = np.nan
        table.loc[rows, "called"] = None
    return table


def write_applied_run(
    folder: Path, *, labelled: bool = True, n_patients: int = 40, seed: int = 5, odd: str = ""
) -> AppliedInputs:
    """Write the tables below `folder`; without labels there are no metrics and no coverage.

    `odd`: a status of the predictions from RNA, abstained or insisted.
    """
    rng = np.random.default_rng(seed)
    table = patients(n_patients)
    metrics, coverage = _metrics(), _coverage()
    tables = {
        "predictions": _predictions(rng, table, labelled=labelled),
        "metrics": metrics if labelled else metrics.head(0),
        "coverage": coverage if labelled else coverage.head(0),
        "drift": _drift(rng),
    }
    if odd:
        tables["predictions"] = _odd(tables["predictions"], odd)
    for name, content in tables.items():
        write_table(folder / f"{name}.parquet", content)
    checks = [
        {"what": "encoder", "status": "ok", "says": "the same weights"},
        {"what": "genes", "status": "warn", "says": f"2 of 50 genes are missing, as in HB00004 {HOSTILE}"},
    ]
    write_json(
        folder / "compatibility.json",
        {
            "checks": checks,
            "missing_genes_share": 0.04,
            "missing_genes": ["ESR1", "NUF2"],
            "alignment": {"method": "none", "n_patients": 0, "says": ""},
        },
    )
    return AppliedInputs(
        cohort="hospital_b",
        trained_on="demo",
        level=0.9,
        compatibility=folder / "compatibility.json",
        config={"seed": 1, "cohorts": {"hospital_b": {"role": "external"}}},
        input_sha256={"results/demo/bundle.zip": "ab" * 32},
        code={"report": "0" * 16},
        **{name: folder / f"{name}.parquet" for name in tables},
    )
