"""What of the picture drives a class: its leading tiles against others of the same patients, and pictures of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from histoweave.explain.classes import class_means
from histoweave.explain.morphology_file import SlideMorphology, no_tiles, read_morphology
from histoweave.explain.tile_measures import MEASURES
from histoweave.storage.refusal import OK

logger = logging.getLogger(__name__)

SHOWN_TILES, TILES_PER_PATIENT = 12, 2
_STANDARDISED = ["mean", "ci_low", "ci_high"]


def summarise(
    files: Mapping[str, str], *, slides: pd.DataFrame, patients: pd.DataFrame, classes: list[str], **bootstrap_of: Any
) -> dict[str, pd.DataFrame]:
    """The tables `morphology` and `class_tiles` of `explain/<model>/`.

    Parameters
    ----------
    files : `morphology/<slide>.h5` of each slide.
    slides : `slide`, `patient`. patients : `patients.parquet` of the model. bootstrap_of : `draws`, `confidence`, `seed`.
    """
    seen = [read_morphology(path) for path in files.values()]
    for status, count in Counter(each.status for each in seen if each.status != OK).items():
        logger.warning("%d of %d slides could not be read: %s", count, len(seen), status)
    labels = patients.set_index("patient")["y_true"]
    n_explained = labels[patients.set_index("patient")["top_tiles"].str.len() > 0].value_counts()
    tiles = seen_tiles(seen, slides.set_index("slide")["patient"], labels)
    return {
        "morphology": morphology_table(
            tiles, {name: int(n_explained.get(name, 0)) for name in classes}, **bootstrap_of
        ),
        "class_tiles": class_tiles(tiles, classes),
    }


def seen_tiles(
    slides: Iterable[SlideMorphology], patients: Mapping[str, str], labels: Mapping[str, str]
) -> pd.DataFrame:
    """The tiles of all slides as one table, with `slide`, `patient` and `class`.

    patients : of each slide. labels : class of each patient.
    """
    parts = [seen.tiles.assign(slide=seen.slide, patient=patients[seen.slide]) for seen in slides if len(seen.tiles)]
    table = pd.concat(parts or [no_tiles().assign(slide="", patient="")], ignore_index=True)
    # In one order, whatever the shards: sums of floats depend on it.
    return table.assign(**{"class": table["patient"].map(labels)}).sort_values(["patient", "slide"], kind="stable")


def patient_means(tiles: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means of each measure over a patient's leading tiles, and over a random sample of the patient's other tiles.

    Returns
    -------
    Two tables patients × measures; NaN where no tile has a value, as in a patient all of whose tiles are leading.
    """
    names = sorted(tiles["patient"].unique())

    def means(part: pd.DataFrame) -> pd.DataFrame:
        return part.groupby("patient")[list(MEASURES)].mean().reindex(names)

    return means(tiles[tiles["leading"]]), means(tiles[tiles["sampled"] & ~tiles["leading"]])


def morphology_table(
    tiles: pd.DataFrame, n_explained: Mapping[str, int], *, draws: int, confidence: float, seed: int
) -> pd.DataFrame:
    """`morphology.parquet`: how the leading tiles of a class differ from other tiles of the same patients.

    Parameters
    ----------
    tiles : as `seen_tiles` returns it.
    n_explained : class → patients with that label whose tiles were explained, in the order of the classes.
    draws, confidence, seed : of the bootstrap over patients.

    Returns
    -------
    `class`, `measure`, `unit`; `mean` difference within the patient in units of `sd` (over the sampled tiles of all
    patients), `ci_low`, `ci_high`, `rank` (1: largest |mean|; what was not measured comes last), `n` (patients); the
    same in the unit: `difference`, `difference_low`, `difference_high`; `other` (mean of the other tiles), `sd`; and
    `note`: why there is no number or no interval, empty otherwise.
    """
    sd = tiles.loc[tiles["sampled"], list(MEASURES)].std().where(lambda spread: spread > 0)
    leading, other = patient_means(tiles)
    label_of = tiles.drop_duplicates("patient").set_index("patient")["class"].reindex(leading.index)
    parts = []
    for name, n_patients in n_explained.items():
        own = label_of.index[label_of == name]
        apart = (leading - other).loc[own]
        found = class_means(apart / sd, draws=draws, confidence=confidence, seed=seed).reindex(MEASURES.keys())
        found["n"] = apart.notna().sum()
        found["rank"] = (-found["mean"].abs()).rank(method="first", na_option="bottom").astype("int64")
        natural = found[_STANDARDISED].mul(sd, axis=0)
        found[["difference", "difference_low", "difference_high"]] = natural.to_numpy()
        found["other"] = other.loc[own].where(apart.notna()).mean()
        found["sd"] = sd
        found["note"] = [_note(row, n_patients) for row in found.itertuples()]
        found = found.rename_axis("measure").reset_index().sort_values("rank")
        parts.append(found.assign(**{"class": name, "unit": found["measure"].map(MEASURES)}))
    table = pd.concat(parts, ignore_index=True).astype({"n": "int64"})
    return table[["class", "measure", "unit", *(c for c in table if c not in ("class", "measure", "unit"))]]


def _note(row: Any, n_patients: int) -> str:
    """Why a row has no number, or no interval."""
    if row.n and np.isnan(row.sd):
        return "not measured: it is the same in all tiles"
    if np.isnan(row.mean):
        return f"not measured: it has a value in {row.n} of {n_patients} patients"
    return f"{row.n} patients are too few for an interval" if np.isnan(row.ci_low) else ""


def class_tiles(tiles: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """`class_tiles.parquet`: of each class the tiles that speak most for it, with their pictures.

    Compared across patients is `z`, attribution standardised within the patient, because the models of different folds
    have different scales. A patient gives at most two tiles, and only such as speak for the class.

    Returns
    -------
    `class`, `rank`, `patient`, `slide`, `x_lv0`, `y_lv0`, `attribution`, `z`, `picture` (bytes of a WebP).
    """
    parts = []
    for name in classes:
        own = tiles[(tiles["class"] == name) & tiles["leading"] & (tiles["attribution"] > 0)]
        own = own.sort_values("z", ascending=False, kind="stable")
        own = own[own.groupby("patient").cumcount() < TILES_PER_PATIENT].head(SHOWN_TILES)
        parts.append(own.assign(rank=np.arange(1, len(own) + 1, dtype=np.int64)))
    columns = ["class", "rank", "patient", "slide", "x_lv0", "y_lv0", "attribution", "z", "picture"]
    return pd.concat(parts, ignore_index=True)[columns]
