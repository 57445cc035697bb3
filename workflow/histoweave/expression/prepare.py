"""The expression stage: one row of log2 values per patient, and a report of what was missing or renamed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from histoweave.expression.gene_rows import COPY_ON_Y, SUM_OF_ALL, listed, without_copies_on_y, without_totals
from histoweave.expression.genes import current_names, missing_pam50
from histoweave.expression.identifiers import has_version, kinds
from histoweave.expression.normalise import FORMULAS, log_normalise, merge_genes, merged_names
from histoweave.expression.readers import Matrix, read_expression
from histoweave.expression.samples import RULE, choose_samples
from histoweave.mechanics.memory import give_back_freed_memory
from histoweave.storage.files import write_json, write_table

if TYPE_CHECKING:
    from histoweave.settings.cohorts import ExpressionInput

_log = logging.getLogger(__name__)

# Below this number of genes a library size is that of a panel, not of a transcriptome; the report says so.
WHOLE_TRANSCRIPTOME_GENES = 5000
MAX_LOG2 = 1000.0


def prepare_expression(source: ExpressionInput, *, patients: set[str], tcga: bool) -> dict[str, pd.DataFrame | dict]:
    """Read, choose samples, rename genes, normalise.

    Returns
    -------
    `expression` (patient + genes, float64 log2, sorted by patient and by gene), `samples`, `genes`, `report`.
    """
    matrix = read_expression(source, patients=patients, tcga=tcga)
    give_back_freed_memory()
    orientation, reading, names_from = matrix.orientation, matrix.reading, matrix.names_from
    given, left_out = _genes_alone(matrix, unit=source.unit)
    del matrix  # each step keeps its own values alone: all of them are six times as much
    samples = choose_samples(given.index, patients=patients, tcga=tcga)
    # The sequencing depth, which a normalised table does not tell any more; log values have none.
    total = given.sum(axis=1) if source.unit != "log2" else pd.Series(np.nan, index=given.index)
    samples["total"] = total.reindex(samples["sample"]).to_numpy(np.float64)
    kept = samples[samples["kept"]].sort_values("patient")
    written = given.columns
    names, used = current_names(written)
    values = given.loc[kept["sample"]].astype(np.float64)
    del given
    merged = merged_names(values, names)
    values = merge_genes(values, names, unit=source.unit)
    values = values.set_axis(kept["patient"].to_list(), axis=0)
    values = values[sorted(values.columns)]
    genes = _gene_table(values, written, names, unit=source.unit)
    values = log_normalise(values, unit=source.unit)
    values = _usable(values, samples)
    report = {
        "source": Path(source.path).name,
        "unit": source.unit,
        "formula": FORMULAS[source.unit],
        "orientation": orientation,
        "read": reading.to_dict(),
        "sample_rule": RULE,
        "n_samples": len(samples),
        "n_patients": len(values),
        "n_genes": int(values.shape[1]),
        "n_genes_all_zero": int(genes["all_zero"].sum()),
        "n_genes_with_missing": int((genes["n_missing"] > 0).sum()),
        "n_missing_values": int(genes["n_missing"].sum()),
        "identifiers": kinds(values.columns),
        "n_versions_removed": sum(map(has_version, written)),
        "names_from": names_from or "the first column or row",
        "not_genes": listed(left_out),
        "n_not_genes": sum(map(len, left_out.values())),
        "n_merged_names": len(names) - len(set(names)),
        "merged_names": merged,
        "aliases_used": used,
        "pam50_missing": missing_pam50(values.columns),
        "panel_only": source.unit in ("counts", "fpkm") and values.shape[1] < WHOLE_TRANSCRIPTOME_GENES,
    }
    values.index.name = "patient"
    return {"expression": values.reset_index(), "samples": samples, "genes": genes, "report": report}


def _gene_table(values: pd.DataFrame, given: Iterable[str], names: Sequence[str], *, unit: str) -> pd.DataFrame:
    """`gene`, `source_name`, `n_missing`, `all_zero` of each gene. given, names : as the file had them, as they are now."""
    sources: dict[str, dict[str, None]] = {}
    for old, new in zip(given, names, strict=True):
        sources.setdefault(new, {})[old] = None
    return pd.DataFrame(
        {
            "gene": values.columns,
            "source_name": ["; ".join(sources[name]) for name in values.columns],
            "n_missing": values.isna().sum().to_numpy(dtype=np.int64),
            "all_zero": (values == 0).all().to_numpy() & (unit != "log2"),
        }
    )


def _usable(normalised: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """The patients whose log values can be used; `samples` is told why the others cannot (columns `kept`, `reason`)."""
    for unusable, reason in (
        (normalised.isna().all(axis=1), "no usable value: the sample's values are all zero or missing"),
        # A log2 value of 1000 is 10^301 reads: the file is damaged there, and networks compute in float32.
        (
            ((normalised > MAX_LOG2) | (normalised < -MAX_LOG2)).any(axis=1),
            f"holds a log2 value beyond {MAX_LOG2:g}: no measurement is so large",
        ),
    ):
        lost = normalised.index.isin(unusable.index[unusable])
        rows = samples["patient"].isin(normalised.index[lost]) & samples["kept"]
        samples.loc[rows, ["kept", "reason"]] = [False, reason]
        normalised = normalised[~lost] if lost.any() else normalised
    return normalised


def _genes_alone(matrix: Matrix, *, unit: str) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """The matrix's values without sums over genes that only their values tell, and all that was left out."""
    values, left_out = matrix.values, dict(matrix.left_out)
    if any(dtype.kind == "O" for dtype in values.dtypes):  # numbers that stood among text in a column that was left out
        values = values.astype(np.float64)
    if unit == "log2":
        values, names = without_copies_on_y(values)
        reason = COPY_ON_Y
    else:
        values, names = without_totals(values)
        reason = SUM_OF_ALL
    return values, left_out | ({reason: names} if names else {})


def run_expression(source: ExpressionInput, *, patients: set[str], tcga: bool, out: dict[str, Path]) -> None:
    """Write `expression.parquet`, `samples.parquet`, `genes.parquet`, `report.json` to the paths of `out`."""
    made = prepare_expression(source, patients=patients, tcga=tcga)
    report = made["report"]
    _log.info("%d genes of %d samples, %s", report["n_genes"], report["n_samples"], report["orientation"])
    for reason, names in report["not_genes"].items():
        _log.info("not used as genes (%s): %s", reason, ", ".join(names))
    write_json(out["report"], made["report"])
    give_back_freed_memory()
    for name in ("samples", "genes", "expression"):
        write_table(out[name], made[name])
