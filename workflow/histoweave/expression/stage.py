"""The expression stage: one row of log2 values per patient, and a report of what was missing or renamed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from histoweave.config import ExpressionInput
from histoweave.expression.genes import PAM50, current_names
from histoweave.expression.normalise import FORMULAS, log_normalise, merge_genes
from histoweave.expression.readers import read_expression
from histoweave.expression.samples import RULE, choose_samples
from histoweave.io import write_json, write_table

# Below this number of genes a library size is that of a panel, not of a transcriptome; the report says so.
WHOLE_TRANSCRIPTOME_GENES = 5000


def prepare_expression(source: ExpressionInput, *, patients: set[str], tcga: bool) -> dict[str, pd.DataFrame | dict]:
    """Read, choose samples, rename genes, normalise.

    Returns
    -------
    `expression` (patient + genes, float64 log2, sorted by patient and by gene), `samples`, `genes`, `report`.
    """
    matrix = read_expression(source, patients=patients, tcga=tcga)
    samples = choose_samples(matrix.values.index, patients=patients, tcga=tcga)
    # The sequencing depth, which a normalised table does not tell any more; log values have none.
    total = matrix.values.sum(axis=1) if source.unit != "log2" else pd.Series(np.nan, index=matrix.values.index)
    samples["total"] = total.reindex(samples["sample"]).to_numpy(np.float64)
    kept = samples[samples["kept"]].sort_values("patient")
    names, used = current_names(matrix.values.columns)
    values = matrix.values.loc[kept["sample"]].astype(np.float64)
    values = merge_genes(values, names, unit=source.unit).set_axis(kept["patient"].to_list(), axis=0)
    values = values[sorted(values.columns)]
    old_names: dict[str, str] = {}
    for old, new in zip(matrix.values.columns, names, strict=True):
        old_names[new] = f"{old_names[new]}; {old}" if new in old_names else str(old)
    genes = pd.DataFrame(
        {
            "gene": values.columns,
            "source_name": [old_names[name] for name in values.columns],
            "n_missing": values.isna().sum().to_numpy(dtype=np.int64),
            "all_zero": (values == 0).all().to_numpy() & (source.unit != "log2"),
        }
    )
    normalised = log_normalise(values, unit=source.unit)
    empty = normalised.index[normalised.isna().all(axis=1)]
    if len(empty):
        reason = "no usable value: the sample's values are all zero or missing"
        samples.loc[samples["patient"].isin(empty) & samples["kept"], ["kept", "reason"]] = [False, reason]
        normalised = normalised.drop(index=empty)
    report = {
        "source": Path(source.path).name,
        "unit": source.unit,
        "formula": FORMULAS[source.unit],
        "orientation": matrix.orientation,
        "sample_rule": RULE,
        "n_samples": len(samples),
        "n_patients": len(normalised),
        "n_genes": int(values.shape[1]),
        "n_genes_all_zero": int(genes["all_zero"].sum()),
        "n_genes_with_missing": int((genes["n_missing"] > 0).sum()),
        "n_missing_values": int(genes["n_missing"].sum()),
        "n_merged_names": len(names) - len(set(names)),
        "aliases_used": used,
        "pam50_missing": [gene for gene in PAM50 if gene not in old_names],
        "panel_only": source.unit in ("counts", "fpkm") and values.shape[1] < WHOLE_TRANSCRIPTOME_GENES,
    }
    expression = normalised.rename_axis("patient").reset_index()
    return {"expression": expression, "samples": samples, "genes": genes, "report": report}


def run_expression(source: ExpressionInput, *, patients: set[str], tcga: bool, out: dict[str, Path]) -> None:
    """Write `expression.parquet`, `samples.parquet`, `genes.parquet`, `report.json` to the paths of `out`."""
    made = prepare_expression(source, patients=patients, tcga=tcga)
    write_json(out["report"], made["report"])
    for name in ("samples", "genes", "expression"):
        write_table(out[name], made[name])
