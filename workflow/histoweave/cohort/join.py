"""The join: which patients have what, which slides could be used, and who was lost where and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from histoweave.errors import InputError
from histoweave.expression.samples import slide_refusal
from histoweave.storage.files import write_table
from histoweave.tabular.reading import Reading

# Attributes of a tile file that tell the scanner.
SCANNER = ("scanner_vendor", "scanner_model", "objective_power")
NO_SAMPLES = pd.DataFrame({"sample": [], "patient": [], "kept": pd.Series(dtype=bool), "reason": []})


def slide_status(slides: pd.DataFrame, *, tiles: dict[str, str], features: dict[str, str]) -> pd.DataFrame:
    """Status of every slide, read from its tile and feature files; columns as in docs/artefacts.md, sorted by slide.

    Parameters
    ----------
    slides : `slide`, `patient`, `path`.
    tiles, features : slide → file.

    Raises
    ------
    InputError
        if the features of two slides come from different encoders.
    """
    rows = []
    made_by: dict[tuple, str] = {}
    for slide, patient, path in slides[["slide", "patient", "path"]].sort_values("slide").itertuples(index=False):
        with h5py.File(tiles[slide], "r") as file:
            tiled = file.attrs["status"]
            pen_share = float(file.attrs.get("pen_share", math.nan))
            spacing = dict(file["coords"].attrs)
        with h5py.File(features[slide], "r") as file:
            status, reason = file.attrs["status"], file.attrs["reason"]
            if status == "ok":
                given = file["features"].attrs
                encoder = (given["encoder"], given["weights_sha256"][:8], file["features"].shape[1])
                made_by.setdefault(encoder, slide)
            rows.append(
                {
                    "slide": slide,
                    "patient": patient,
                    "path": path,
                    "status": status,
                    "reason": reason,
                    "stage": "tiles" if tiled != "ok" else "features" if status != "ok" else "",
                    "n_tiles": len(file["features"]),
                    "n_failed_tiles": len(file["failed_coords"]),
                    "level0_mpp": float(spacing["level0_mpp"]),
                    "mpp_source": spacing["mpp_source"],
                    **{name: spacing[name] for name in SCANNER},
                    "pen_share": pen_share,
                    "features": features[slide],
                    "features_sha256": file.attrs["features_sha256"],
                }
            )
    if len(made_by) > 1:
        (one, first), (other, second) = list(made_by.items())[:2]
        raise InputError(
            f"features of slide '{first}' come from encoder {_named(one)}, of slide '{second}' from {_named(other)}; "
            "vectors of different encoders cannot be compared: use one encoder for the whole cohort"
        )
    columns = [
        "slide", "patient", "path", "status", "reason", "stage", "n_tiles", "n_failed_tiles",
        "level0_mpp", "mpp_source", *SCANNER, "pen_share", "features", "features_sha256",
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    floats = dict.fromkeys(("level0_mpp", "objective_power", "pen_share"), np.float64)
    return table.astype({"n_tiles": np.int64, "n_failed_tiles": np.int64, **floats})


def judge_samples(status: pd.DataFrame, slides: pd.DataFrame) -> pd.DataFrame:
    """`status` (of `slide_status`) of a TCGA cohort, without the slides whose barcodes speak against their row: of
    another patient, or of no primary tumour. RNA has the same rule (`expression.samples`).
    """
    files = slides.set_index("slide").reindex(columns=["path", "coords", "features"]).fillna("")
    status = status.copy()
    for index, slide, patient in status[["slide", "patient"]].itertuples():
        refusal = slide_refusal(patient, [slide, *(Path(file).name for file in files.loc[slide])])
        if refusal:
            status.loc[index, ["status", "reason", "stage"]] = [*refusal, "sample"]
    return status


def _named(encoder: tuple[str, str, int]) -> str:
    name, weights, dim = encoder
    return f"'{name}' ({dim} values{', weights ' + weights if weights else ''})"


def join(
    patients: pd.DataFrame,
    slides: pd.DataFrame,
    samples: pd.DataFrame | None,
    *,
    modalities: set[str],
    needs_label: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join the three tables and count the losses.

    Parameters
    ----------
    patients : `patient`, `label` (None: none or dropped), `site`, `label_source`, covariates.
    slides : of `slide_status`. samples : of the expression stage, None without RNA.
    modalities : what the cohort was given.
    needs_label : leave patients without a label out, as a cohort must that models are fitted on.

    Returns
    -------
    `patients.parquet` and `flow.parquet` of docs/artefacts.md.
    """
    usable = slides[slides["status"] == "ok"].groupby("patient").size()
    samples = NO_SAMPLES if samples is None else samples
    with_rna = set(samples.loc[samples["kept"], "patient"])
    table = patients.sort_values("patient", ignore_index=True)
    n_slides = table["patient"].map(usable).fillna(0).astype(np.int64)
    has_image, has_expression = n_slides > 0, table["patient"].isin(with_rna)
    has = pd.DataFrame({"image": has_image, "expression": has_expression})
    labelled = table["label"].notna() | (not needs_label)
    any_modality, complete = has.any(axis=1), has[sorted(modalities)].all(axis=1)
    written = (table["label_source"] != "") | (not needs_label)
    reason = np.select(
        [~written, ~labelled, ~any_modality],
        ["no label", "label dropped by label_map", "no usable slide and no RNA"],
        "",
    )
    covariates = table.drop(columns=["patient", "label", "site", "label_source"])
    joined = pd.DataFrame(
        {
            "patient": table["patient"],
            "label": table["label"],
            "site": table["site"],
            "n_slides": n_slides,
            "has_image": has_image,
            "has_expression": has_expression,
            "complete": complete,
            "included": labelled & any_modality,
            "reason": reason,
        }
    )
    return pd.concat([joined, covariates], axis=1), _flow(
        table, joined, slides, samples, modalities=modalities, needs_label=needs_label
    )


def _flow(
    table: pd.DataFrame,
    joined: pd.DataFrame,
    slides: pd.DataFrame,
    samples: pd.DataFrame,
    *,
    modalities: set[str],
    needs_label: bool,
) -> pd.DataFrame:
    rows: list[dict] = []

    def step(name: str, unit: str, n_in: int, lost: pd.DataFrame, column: str) -> int:
        """One row per reason of a loss, or one row if nothing was lost; returns what is left."""
        groups = list(lost.groupby("reason", sort=True)) or [("", lost)]
        for reason, part in groups:
            ids = "; ".join(sorted(part[column]))
            rows.append(
                {"step": name, "unit": unit, "n_in": n_in, "n_out": n_in - len(part), "n_lost": len(part),
                 "reason": reason, "ids": ids}
            )  # fmt: skip
            n_in -= len(part)
        return n_in

    if "image" in modalities:
        left = len(slides)
        for stage in ("sample", "tiles", "features"):
            lost = slides[slides["stage"] == stage]
            if stage == "sample" and lost.empty:
                continue  # a rule for TCGA only
            left = step(stage, "slides", left, lost.assign(reason=lost["status"]), "slide")
    if "expression" in modalities:
        step("expression", "samples", len(samples), samples[~samples["kept"]], "sample")
    left = len(table)
    losses = [("label", ["no label", "label dropped by label_map"]), ("any modality", ["no usable slide and no RNA"])]
    for name, reasons in losses if needs_label else losses[1:]:
        left = step(name, "patients", left, joined[joined["reason"].isin(reasons)], "patient")
    included = joined[joined["included"]]
    for modality, reason in (("image", "no usable slide"), ("expression", "no RNA sample")):
        if modality in modalities:
            lost = included[~included[f"has_{modality}"]].assign(reason=reason)
            left = step(f"complete: {modality}", "patients", left, lost, "patient")
            included = included[included[f"has_{modality}"]]
    columns = ["step", "unit", "n_in", "n_out", "n_lost", "reason", "ids"]
    return pd.DataFrame(rows, columns=columns)


def run_cohort(
    patients: pd.DataFrame,
    slides: pd.DataFrame,
    *,
    samples: pd.DataFrame | None,
    tiles: dict[str, str],
    features: dict[str, str],
    modalities: set[str],
    needs_label: bool = True,
    tcga: bool = False,
    readings: Sequence[Reading],
    out: dict[str, Path],
) -> None:
    """Write `patients.parquet`, `slides.parquet`, `flow.parquet` and `read.parquet` to the paths of `out`.

    tcga: barcodes have a say. readings: what was read of the user's tables.
    """
    status = slide_status(slides, tiles=tiles, features=features)
    if tcga:
        status = judge_samples(status, slides)
    joined, flow = join(patients, status, samples, modalities=modalities, needs_label=needs_label)
    write_table(out["slides"], status)
    write_table(out["flow"], flow)
    write_table(out["patients"], joined)
    write_table(out["read"], pd.DataFrame([reading.to_dict() for reading in readings]))
