"""What a run comes down to: one of a few kinds, by rules over its tables (docs/conclusion.md). Nothing is fitted here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from scipy.special import ndtri

from histoweave.evaluation.choice import perfect_low
from histoweave.evaluation.chosen_scores import CHANCE, ChosenScores, Number, number_of
from histoweave.evaluation.null import MATCHED
from histoweave.fusion.catalog import MODALITIES, ModelInfo

# A column is ruled out as an explanation if the label cannot be told from it with an AUROC of this or more.
UNRELATED = 0.6
# An interval wider than WIDE that holds a useful model says nothing.
WIDE, USEFUL = 0.4, 0.8
# How much worse a simpler model may be, and how large a gain by the other modality has to be excluded.
MARGIN = 0.05

LEAK, TOO_FEW, AT_CHANCE, SITE = "leak", "too_few", "chance", "site"
FUSION, ONE_MODALITY, UNDECIDED = "fusion", "one_modality", "undecided"
KINDS = (LEAK, TOO_FEW, AT_CHANCE, SITE, FUSION, ONE_MODALITY, UNDECIDED)
# Kinds in which the models' skill is no finding, whatever their AUROC.
NOTHING_STANDS = (LEAK, SITE)


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """The conclusion of a run.

    Attributes
    ----------
    kind : one of `KINDS`; they are tested in this order.
    reason : which of a kind's rules it was: of `too_few` `no_interval`, `no_power`, `wide`; of `site` `told` (the label can
        be told from the column), `not_ruled_out`; of `undecided` `no_model`, `no_single`, `single_at_chance`; empty otherwise.
    n, counts : scored patients, and how many of each class.
    whole : what the folds keep whole and the intervals resample, `patient` or `site`.
    looked_at : models whose AUROC was looked at.
    better : models whose simultaneous interval lies above 0.5.
    best, single, fused : the model with the highest AUROC among those better than chance (of all if there are none),
        and those of one and of both modalities that the conclusion is about (empty without such a model).
    rival : the best model of the modality that `single` does not read, if it is better than chance as well.
    simplest : the simplest model that is not worse than `best` by `MARGIN` or more; empty if none is shown to be so.
    simplest_asked : whether there is a simpler model than `best` at all.
    column : the column that the label can be told from or that is not ruled out (`site`), empty if there is none.
    column_model : the model whose scores within and across the values of `column` are in `numbers`.
    leaking : models that predict shuffled labels.
    shuffles : shuffles of the labels behind `leaking`.
    numbers : AUROC of `best`, `single`, `fused`; differences `difference` (fused - single), `rival` (single - rival),
        `simplest` (simplest - best); of confounding `label_from_column`, and of `column_model` its AUROC `column_model`,
        `label_within_column`, `label_whole_columns`; `null_mean` of the first leaking model. What is not known is missing.
    """

    kind: str
    reason: str = ""
    n: int = 0
    whole: str = "patient"
    counts: Mapping[str, int] = field(default_factory=dict)
    looked_at: int = 0
    better: tuple[str, ...] = ()
    best: str = ""
    single: str = ""
    fused: str = ""
    rival: str = ""
    simplest: str = ""
    simplest_asked: bool = False
    column: str = ""
    column_model: str = ""
    leaking: tuple[str, ...] = ()
    shuffles: int = 0
    numbers: Mapping[str, Number] = field(default_factory=dict)

    def stands(self, model: str) -> bool:
        """Whether the skill of a model is a finding: better than chance, and not explained by a site or a leak."""
        return model in self.better and self.kind not in NOTHING_STANDS


def conclude(
    choice: pd.DataFrame,
    *,
    models: Sequence[ModelInfo],
    counts: Mapping[str, int],
    confidence: float,
    group_by: str = "patient",
    confounding: pd.DataFrame | None = None,
    control: pd.DataFrame | None = None,
) -> Conclusion:
    """Apply the rules of docs/conclusion.md in their order.

    Parameters
    ----------
    choice : the table `choice.parquet`.
    models : of the run, in order of display.
    counts : scored patients of each class (`choice.class_counts`).
    confidence : of the intervals.
    group_by : what the folds keep whole (`patient` or `site`); that column is not asked about again.
    confounding, control : `confounding.parquet` and `control/summary.parquet`, None where a run has not made them.
    """
    scores = ChosenScores(choice, models)
    known = {
        "n": scores.n,
        "whole": group_by,
        "counts": dict(counts),
        "looked_at": len(scores.auroc),
        "better": scores.better,
    }
    best = scores.best(scores.better) or scores.best(scores.models)
    known |= {"best": best}
    kind, more = _kind(scores, counts=counts, confidence=confidence, group_by=group_by, confounding=confounding)
    known |= _compared(scores, kind)
    known |= _simplest(scores, best) if best in scores.better else {}
    numbers = _numbers(scores, known) | more.pop("numbers", {})
    if (leak := _leak(control)) is not None:
        kind, more, numbers = LEAK, leak, numbers | leak.pop("numbers")
    return Conclusion(kind=kind, **known | more, numbers=numbers)


def _kind(
    scores: ChosenScores,
    *,
    counts: Mapping[str, int],
    confidence: float,
    group_by: str,
    confounding: pd.DataFrame | None,
) -> tuple[str, dict]:
    """The kind by the AUROCs alone, and what else is known of it."""
    if not scores.models:
        return UNDECIDED, {"reason": "no_model"}
    if reason := _too_few(scores, counts, confidence):
        return TOO_FEW, {"reason": reason}
    if not scores.better:
        return AT_CHANCE, {}
    explained, of_column = _column(scores, confounding, whole=group_by, confidence=confidence)
    if explained:
        return SITE, of_column
    kind, reason = _modalities(scores)
    return kind, of_column | {"reason": reason}


def _too_few(scores: ChosenScores, counts: Mapping[str, int], confidence: float) -> str:
    """Why there are too few patients, empty if there are not."""
    known = [number for number in scores.auroc.values() if not math.isnan(number.ci_low)]
    if not known:
        return "no_interval"
    if scores.better:
        return ""
    if not perfect_low(counts, confidence=confidence, looked_at=len(scores.auroc)) > CHANCE:
        return "no_power"
    wide = all(number.ci_high - number.ci_low > WIDE for number in known)
    return "wide" if wide and scores.auroc[scores.best(scores.models)].ci_high >= USEFUL else ""


def _column(
    scores: ChosenScores, confounding: pd.DataFrame | None, *, whole: str, confidence: float
) -> tuple[bool, dict]:
    """Whether a column may explain what the models reach, and what is known of that column.

    That the label can be told from the column alone with an AUROC of `UNRELATED` is not excluded, and neither within its
    values nor with its values kept whole is any of the best models (of the image, of RNA, of both) shown to be above 0.5.
    Of several columns the first from which the label can be told. Where models know more than every column, the first
    from which the label can be told, if there is one.
    """
    if confounding is None or confounding.empty:
        return False, {}
    asked = confounding[(confounding["question"] == "label_from_column") & (confounding["ci_high"] >= UNRELATED)]
    rows = [row for row in asked.to_dict("records") if row["column"] != whole]
    rows.sort(key=lambda row: row["ci_low"] <= CHANCE)
    found = [(row["ci_low"] > CHANCE, *_beyond(scores, confounding, row, confidence=confidence)) for row in rows]
    for told, beyond, facts in found:
        if not beyond:
            return True, facts | {"reason": "told" if told else "not_ruled_out"}
    return False, next((facts for told, _, facts in found if told), {})


def _beyond(scores: ChosenScores, confounding: pd.DataFrame, told: Mapping, *, confidence: float) -> tuple[bool, dict]:
    """Whether a model is shown to know more than the column of `told`, and the numbers of the model that is looked at:
    the best of those that are, or else of all. The intervals are widened for the number of scores (Bonferroni)."""
    asked = ["label_within_column", "label_whole_columns"]
    rows = confounding[(confounding["column"] == told["column"]) & confounding["question"].isin(asked)]
    rows = rows[rows["model"].isin(scores.better) & rows["estimate"].notna()]
    scored = set(rows["model"])
    groups = {scores.models[name].modalities for name in scored}
    best = [scores.best(m for m in scored if scores.models[m].modalities == group) for group in groups]
    rows = rows[rows["model"].isin(best)]
    tail = (1 - confidence) / 2
    wider = ndtri(tail / max(len(rows), 1)) / ndtri(tail)
    shown = rows["estimate"] - wider * (rows["estimate"] - rows["ci_low"]) > CHANCE
    beyond = set(rows.loc[shown, "model"])
    model = scores.best(sorted(beyond or best))
    numbers = {row["question"]: number_of(row) for row in rows[rows["model"] == model].to_dict("records")}
    numbers["label_from_column"] = number_of(told)
    if model:
        numbers["column_model"] = scores.auroc[model]
    return bool(beyond), {"column": told["column"], "column_model": model, "numbers": numbers}


def _modalities(scores: ChosenScores) -> tuple[str, str]:
    """`fusion`, `one_modality` or `undecided` with the reason; some model is better than chance."""
    if _winner(scores):
        return FUSION, ""
    if _unbeaten(scores) in scores.better:
        return ONE_MODALITY, ""
    covered = {modality for name in scores.single for modality in scores.models[name].modalities}
    return UNDECIDED, "single_at_chance" if covered >= set(MODALITIES) else "no_single"


def _winner(scores: ChosenScores) -> str:
    """The best model of both modalities that is better than chance and than every model of one; empty without.

    There must be models of each modality alone: nothing else says that it takes both.
    """
    if not all(any(scores.reads(name, modality) for name in scores.single) for modality in MODALITIES):
        return ""
    return scores.best(
        f for f in scores.fused if f in scores.better and all(scores.beats(f, single) for single in scores.single)
    )


def _unbeaten(scores: ChosenScores) -> str:
    """The best model of one modality among those that the best model of both is not shown to be better than."""
    unbeaten = [single for single in scores.single if not scores.main or not scores.beats(scores.main, single)]
    return scores.best(single for single in unbeaten if single in scores.better) or scores.best(unbeaten)


def _compared(scores: ChosenScores, kind: str) -> dict[str, str]:
    """Which model of one modality stands beside which of both, and beside which of the other modality."""
    if kind == FUSION:
        return {"fused": _winner(scores), "single": scores.best(scores.single)}
    single = (_unbeaten(scores) if kind in (ONE_MODALITY, UNDECIDED) else "") or scores.best(scores.single)
    own = scores.models[single].modalities if single else frozenset()
    rivals = [name for name in scores.single if scores.models[name].modalities != own]
    rival = scores.best(rivals) if kind == ONE_MODALITY else ""
    return {"fused": scores.main, "single": single, "rival": rival if rival in scores.better else ""}


def _simplest(scores: ChosenScores, best: str) -> dict[str, str | bool]:
    """The simplest model whose difference to the best holds 0 and lies above -`MARGIN`; the better of equally simple."""
    simpler = [name for name in scores.models if scores.models[name].complexity < scores.models[best].complexity]

    def as_good(name: str) -> bool:
        difference = scores.difference(name, best)
        return name in scores.better and difference.ci_low > -MARGIN and difference.ci_high >= 0

    found = [name for name in simpler if as_good(name)]
    lowest = min((scores.models[name].complexity for name in found), default=0)
    simplest = scores.best(name for name in found if scores.models[name].complexity == lowest)
    return {"simplest": simplest or ("" if simpler else best), "simplest_asked": bool(simpler)}


def _numbers(scores: ChosenScores, known: Mapping) -> dict[str, Number]:
    """AUROCs and differences of the models that `known` names."""
    best, single, fused, rival, simplest = (
        known.get(role, "") for role in ("best", "single", "fused", "rival", "simplest")
    )
    numbers = {
        role: scores.auroc[name] for role, name in (("best", best), ("single", single), ("fused", fused)) if name
    }
    pairs = {"difference": (fused, single), "rival": (single, rival), "simplest": (simplest, best)}
    return numbers | {role: scores.difference(a, b) for role, (a, b) in pairs.items() if a and b and a != b}


def _leak(control: pd.DataFrame | None) -> dict | None:
    """The models that predict shuffled labels, None without any."""
    if control is None or not (rows := control[control["leak"].astype(bool) & (control["metric"] == MATCHED)]).size:
        return None
    first = rows.sort_values("null_mean", ascending=False).iloc[0]
    leaking = dict.fromkeys([first["model"], *rows["model"]])
    mean = Number(*(float(first[name]) for name in ("null_mean", "mean_low", "mean_high")))
    return {"leaking": tuple(leaking), "shuffles": int(first["shuffles"]), "numbers": {"null_mean": mean}}
