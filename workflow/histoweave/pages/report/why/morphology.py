"""What of the picture drives a class, on the page: sentences, a table, and strips of the tiles that lead."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from histoweave.evaluation.shown import interval_text, value_text
from histoweave.pages.kit.tables import Cell, Table, estimate, number
from histoweave.pages.report.inputs import ReportTables

TITLES = {
    "haematoxylin_od": "Haematoxylin", "eosin_od": "Eosin", "nuclei_share": "Share covered by nuclei",
    "nuclei_per_mm2": "Nuclei per mm²", "nucleus_area_um2": "Median area of nuclei", "luminance_sd_grey": "Contrast",
    "saturation_hsv": "Saturation",
}  # fmt: skip
# What a measure above 0, and one below, means.
_WORDS = {
    "haematoxylin_od": ("more haematoxylin", "less haematoxylin"), "eosin_od": ("more eosin", "less eosin"),
    "nuclei_share": ("a larger area covered by nuclei", "a smaller area covered by nuclei"),
    "nuclei_per_mm2": ("more nuclei", "fewer nuclei"), "nucleus_area_um2": ("larger nuclei", "smaller nuclei"),
    "luminance_sd_grey": ("more contrast", "less contrast"), "saturation_hsv": ("stronger colours", "paler colours"),
}  # fmt: skip
_DIGITS = {"nuclei_per_mm2": 0, "nucleus_area_um2": 1, "luminance_sd_grey": 1}
_UNITS = {"nuclei_per_mm2": " per mm²", "nucleus_area_um2": " µm²", "luminance_sd_grey": " grey levels"}
MAX_SAID = 3


@dataclass(frozen=True)
class TilePicture:
    """A tile on the page: a data URI, what it is in words, and the line below it."""

    uri: str
    alt: str
    attribution: str


@dataclass(frozen=True)
class Strip:
    """The leading tiles of a class, and what is said of them."""

    title: str
    says: str
    tiles: tuple[TilePicture, ...]


def views(tables: ReportTables) -> dict[str, Any]:
    """`morphology_table` and `morphology_strips` as the template names them; empty where the run has not made them.

    Nothing is said of the strips of a model whose skill is no finding.
    """
    found, tiles = tables.explain.get("morphology"), tables.explain.get("class_tiles")
    if found is None or tiles is None:
        return {"morphology_table": Table((), ()), "morphology_strips": []}
    stands = tables.conclusion.stands(tables.explained)
    strips = [
        Strip(str(name), says(str(name), of_class) if stands else "", _pictures(tiles[tiles["class"] == name]))
        for name, of_class in found.groupby("class", sort=False)
    ]
    return {"morphology_table": _table(found), "morphology_strips": strips}


def says(name: str, found: pd.DataFrame) -> str:
    """A class in one sentence: the first three measures whose interval leaves 0 out, or that there are none.

    found : rows of `morphology.parquet` of that class.
    """
    ranked = found.sort_values("rank")
    if ranked["mean"].isna().all():
        return f"{name}: nothing could be measured ({ranked.iloc[0]['note'].removeprefix('not measured: ')})."
    if ranked["ci_low"].isna().all():
        return f"{name}: too few patients ({ranked['n'].max()}) for an interval, so no statement is made."
    clear = ranked[(ranked["ci_low"] > 0) | (ranked["ci_high"] < 0)]
    if clear.empty:
        return (
            f"{name}: no measure differs clearly between the tiles that speak for the class and other tiles of the same "
            "patients."
        )
    said = [_said(row) for row in clear.head(MAX_SAID).to_dict("records")]
    listed = said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"
    return f"{name}: compared with other tiles of the same patients, the tiles that speak for the class have {listed}."


def _said(row: dict[str, Any]) -> str:
    words = _WORDS[row["measure"]][int(row["mean"] < 0)]
    digits, unit = _DIGITS.get(row["measure"], 2), _UNITS.get(row["measure"], "")
    value = value_text(row["difference"], digits=digits, signed=True, against=0.0)
    interval = interval_text(row["difference_low"], row["difference_high"], signed=True, digits=digits, form="{} to {}")
    return f"{words} ({value}{unit}, {interval})"


def _table(found: pd.DataFrame) -> Table:
    columns = (
        "Class", "Rank", "Measure", "Unit", "Difference", "In standard deviations", "Other tiles", "Patients", "Note",
    )  # fmt: skip
    return Table(columns, tuple(_row(row) for row in found.to_dict("records")))


def _row(row: dict[str, Any]) -> tuple[Cell, ...]:
    digits = 1 if row["measure"] in _DIGITS else 3
    natural = {"mean": row["difference"], "ci_low": row["difference_low"], "ci_high": row["difference_high"]}
    other = row["other"] if np.isfinite(row["other"]) else None
    return (
        Cell(str(row["class"])), number(row["rank"]), Cell(TITLES[row["measure"]]), Cell(row["unit"]),
        estimate(natural, column="mean", digits=digits, signed=True),
        estimate(row, column="mean", digits=2, signed=True), number(other, digits=digits), number(row["n"]),
        Cell(row["note"] or "–"),
    )  # fmt: skip


def _pictures(tiles: pd.DataFrame) -> tuple[TilePicture, ...]:
    return tuple(
        TilePicture(
            "data:image/webp;base64," + base64.b64encode(row["picture"]).decode("ascii"),
            f"Tile of patient {row['patient']}, slide {row['slide']}, attribution {row['attribution']:+.2f}",
            f"{row['attribution']:+.2f}",
        )
        for row in tiles.sort_values("rank").to_dict("records")
    )
