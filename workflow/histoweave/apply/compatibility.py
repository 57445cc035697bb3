"""Is a cohort compatible with a bundle? `compatibility.json` records every check; a failed one refuses the cohort."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from histoweave.apply import plausible, units
from histoweave.apply.drift import OUTSIDE_HALF
from histoweave.apply.manifest import Manifest
from histoweave.errors import InputError
from histoweave.expression.identifiers import how_to_agree
from histoweave.fusion.catalog import EXPRESSION, IMAGE

Status = Literal["ok", "warn", "withheld", "refused"]
MAX_LISTED = 200
# Of the same platform and a like mix of patients nearly no median lies outside the middle half of training.
_IMPLAUSIBLE = 0.3
# Totals over tables of other genes say nothing of the depth.
_SAME_TABLE = 0.1


@dataclass(frozen=True)
class Check:
    """One check: `what` was compared, whether it is compatible, and the result in words (what to do, if it is not)."""

    what: str
    status: Status
    says: str


def check_images(manifest: Manifest, facts: pd.DataFrame, *, tiles: dict[str, Any]) -> list[Check]:
    """Encoder, weights, dimension and tiles of the cohort's slides against those of training.

    Parameters
    ----------
    facts : of `slide_facts`. tiles : the section `tiles` of this run's configuration.
    """
    encoder, grid = manifest.encoder, manifest.tiles
    if facts.empty or encoder is None or grid is None:
        return []
    checks = [
        _same("encoder", facts, "encoder", encoder.name, fix="set features.encoder to that of the bundle"),
        _same("dimension of features", facts, "dim", encoder.dim, fix="use the encoder that the bundle names"),
        _weights(facts, encoder.weights_sha256),
        _grid(facts, "tile size in px", "tile_px", grid.tile_px, unknown=facts["tile_px"] == 0),
    ]
    spacing = grid.settings.get("mpp_tolerance", 0.05)
    known = facts[facts["target_mpp"].notna()]
    if grid.target_mpp is None or len(known) < len(facts):
        checks.append(Check("spacing of tiles", "warn", "the spacing of the tiles is not known for all features"))
    elif (odd := known[(known["target_mpp"] / grid.target_mpp - 1).abs() > spacing]).empty:
        checks.append(Check("spacing of tiles", "ok", f"{grid.target_mpp:g} µm per px, as in training"))
    else:
        checks.append(
            Check(
                "spacing of tiles", "refused",
                f"slide '{odd['slide'].iloc[0]}' has tiles at {odd['target_mpp'].iloc[0]:g} µm per px, the models were "
                f"fitted at {grid.target_mpp:g}; set tiles.target_mpp to {grid.target_mpp:g}",
            )
        )  # fmt: skip
    arithmetic = sorted(set(facts["arithmetic"]) - set(encoder.arithmetic))
    says = f"network computed in {', '.join(arithmetic)} here and in {', '.join(encoder.arithmetic)} in training"
    checks.append(
        Check("arithmetic", "warn", f"{says}; features differ only by rounding")
        if arithmetic
        else Check("arithmetic", "ok", f"network computed in {', '.join(encoder.arithmetic)}, as in training")
    )
    ours = {key: tiles.get(key) for key in ("overlap_px", "min_tissue", "segmentation_mpp", "min_region_um2", "pen")}
    theirs = {"pen": "remove", **grid.settings}  # what bundles did before there was a choice
    if odd := [f"{key} {value} (training {theirs.get(key)})" for key, value in ours.items()
               if value != theirs.get(key)]:  # fmt: skip
        checks.append(Check("tissue and grid", "warn", f"tiles are selected with other settings: {', '.join(odd)}"))
    return checks


def _same(what: str, facts: pd.DataFrame, column: str, expected: Any, *, fix: str) -> Check:
    odd = facts[facts[column] != expected]
    if odd.empty:
        return Check(what, "ok", f"{expected}, as in training")
    found = odd[column].iloc[0]
    return Check(
        what, "refused",
        f"{what} of slide '{odd['slide'].iloc[0]}' is {found}, the models were fitted with {expected}; {fix}",
    )  # fmt: skip


def _grid(facts: pd.DataFrame, what: str, column: str, expected: int, *, unknown: pd.Series) -> Check:
    if unknown.any() or not expected:
        return Check(what, "warn", f"{what} is not known for all features")
    return _same(what, facts, column, expected, fix=f"set tiles.{column} to {expected}")


def _weights(facts: pd.DataFrame, expected: str) -> Check:
    if not expected or (facts["weights_sha256"] == "").any():
        return Check("weights", "warn", "the feature files do not state the network weights for all features")
    odd = facts[facts["weights_sha256"] != expected]
    if odd.empty:
        return Check("weights", "ok", f"SHA-256 {expected[:12]}, as in training")
    return Check(
        "weights", "refused",
        f"slide '{odd['slide'].iloc[0]}' was encoded with weights {odd['weights_sha256'].iloc[0][:12]}, the models were "
        f"fitted with {expected[:12]}; use the same weights",
    )  # fmt: skip


def missing_genes(manifest: Manifest, expression: pd.DataFrame) -> list[str]:
    """Genes that a model reads and that no patient of the cohort has."""
    given = set(expression.columns[expression.notna().any()])
    assert manifest.expression is not None
    return [gene for gene in manifest.expression.genes if gene not in given]


def check_expression(
    manifest: Manifest, expression: pd.DataFrame | None, *, unit: str | None, limit: float
) -> list[Check]:
    """Unit and genes of the cohort's RNA against those of training; `limit` is the largest share of missing genes."""
    ours = manifest.expression
    if expression is None or ours is None:
        return []
    if against := units.difference(unit, ours.unit, formula=ours.formula):
        same = Check("expression unit", "refused", against)
    else:
        assert unit is not None  # or the two could not be compared
        says, reservation = units.agreement(unit, ours.unit)
        same = Check("expression unit", "warn" if reservation else "ok", says)
    lacking, n = missing_genes(manifest, expression), len(ours.genes)
    words = f"{len(lacking)} of the {n} genes used by the models are missing"
    if lacking:
        words += f" ({', '.join(lacking[:5])}{', …' if len(lacking) > 5 else ''})"
    if len(lacking) > limit * n:
        advice = how_to_agree(expression.columns, ours.genes, ours="the RNA table", theirs="the bundle")
        words += f", more than apply.missing_genes_limit ({limit:.0%}); {advice}"
        return [same, Check("genes", "refused", words)]
    if lacking:
        words += "; they are set to their training mean (0 after standardising)"
    return [same, Check("genes", "warn" if lacking else "ok", words)]


def check_depth(manifest: Manifest, expression: pd.DataFrame | None) -> list[Check]:
    """Whether totals of the two tables can be compared: only if they are of about as many genes."""
    if expression is None or manifest.expression is None:
        return []
    found, training = expression.shape[1], manifest.expression.n_genes
    comparable = abs(found / training - 1) <= _SAME_TABLE
    says = f"the tables have {found} genes here and {training} in training"
    if comparable:
        return [Check("sequencing depth", "ok", f"{says}: totals are compared")]
    return [Check("sequencing depth", "warn", f"{says}: totals are not compared")]


def check_values(drift: pd.DataFrame) -> list[Check]:
    """Whether the RNA's values can be of the unit that they are said to be of, judged by how many genes are off."""
    rows = drift[(drift["feature"] == OUTSIDE_HALF) & (drift["site"] == "all")]
    if rows.empty:
        return []
    share = rows["value"].iloc[0]
    if share <= _IMPLAUSIBLE:
        return [
            Check(
                "expression values",
                "ok",
                f"the medians of {share:.0%} of the genes lie outside the middle half of training",
            )
        ]
    return [
        Check(
            "expression values", "warn",
            f"the medians of {share:.0%} of the genes lie outside the middle half of training: this suggests another "
            "platform, a wrongly stated unit, or a very different mix of patients; trust the predictions only if their "
            "accuracy is measured here",
        )
    ]  # fmt: skip


def check_plausible(judged: pd.DataFrame, *, unjudged: bool) -> list[Check]:
    """Whether predictions are withheld because values lie outside what the models were fitted on.

    Parameters
    ----------
    judged : of `plausible.judge`.
    unjudged : there are images, and the bundle does not hold what they are judged by.
    """
    checks = []
    if unjudged:
        says = "the bundle has no ranges of the tile features, so images are not checked against them; make the bundle again"
        checks.append(Check(f"{plausible.JUDGED[IMAGE].what} within the training range", "warn", says))
    for modality, rows in judged.groupby("modality", sort=False):
        what = f"{plausible.JUDGED[modality].what} within the training range"
        reasons = rows.loc[rows["reason"] != "", "reason"].value_counts()
        if reasons.empty:
            checks.append(
                Check(what, "ok", f"the values of all {len(rows)} patients are plausible for the training cohort")
            )
            continue
        counted = "; ".join(f"{reason} ({n} of {len(rows)} patients)" for reason, n in reasons.items())
        share = rows.loc[rows["reason"] != "", "share"].median()
        says = (
            "models that use them give no prediction; with apply.insist they give probabilities without prediction sets"
        )
        checks.append(
            Check(
                what,
                "withheld",
                f"{counted}; in the median such patient, {share:.0%} of the values lie outside; {says}",
            )
        )
    return checks


def check_cohort(manifest: Manifest, patients: pd.DataFrame) -> list[Check]:
    """Whether the models can predict anybody, and whether the labels (if there are any) are the models' classes."""
    checks = []
    readable = set().union(*(model.modalities for model in manifest.models))
    has = {modality for modality in (IMAGE, EXPRESSION) if patients[f"has_{modality}"].any()}
    if readable and not readable & has:
        checks.append(
            Check(
                "modalities", "refused",
                f"the models use {' and '.join(sorted(readable))}, but no patient has any; see cohort/flow.parquet for what "
                "was excluded",
            )
        )  # fmt: skip
    labels = patients["label"].dropna()
    if labels.empty:
        return [*checks, Check("labels", "ok", "no labels: predictions are made but not scored")]
    unknown = labels[~labels.isin(manifest.classes)]
    if unknown.empty:
        return [*checks, Check("labels", "ok", f"{len(labels)} patients have a label, all known to the models")]
    says = (
        f"{len(unknown)} of {len(labels)} labels are none of {', '.join(manifest.classes)} (such as "
        f"'{unknown.iloc[0]}'): these patients are predicted but not scored; rename labels with label_map"
    )
    return [*checks, Check("labels", "warn", says)]


def report(checks: Iterable[Check], *, lacking: list[str], n_genes: int) -> dict[str, Any]:
    """The content of `compatibility.json`."""
    return {
        "checks": [asdict(check) for check in checks],
        "missing_genes_share": float(np.round(len(lacking) / n_genes, 6)) if n_genes else 0.0,
        "missing_genes": lacking[:MAX_LISTED],
    }


def refuse(content: dict[str, Any], *, where: str) -> None:
    """
    Raises
    ------
    InputError
        with the first answer that refuses the cohort, and how many more there are.
    """
    refused = [check["says"] for check in content["checks"] if check["status"] == "refused"]
    if refused:
        more = f" (and {len(refused) - 1} more, see {where})" if len(refused) > 1 else ""
        raise InputError(f"the bundle is not compatible with this cohort: {refused[0]}{more}")
