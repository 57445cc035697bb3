"""The conclusion of a run in two to four plain statements. Digits are added where fewer would contradict a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from histoweave.evaluation import conclusion
from histoweave.evaluation.chosen_scores import CHANCE, Number
from histoweave.evaluation.conclusion import MARGIN, UNRELATED, USEFUL, Conclusion
from histoweave.fusion.catalog import EXPRESSION, IMAGE, MODALITIES, ModelInfo

MODALITY_WORDS = {IMAGE: "the image", EXPRESSION: "RNA"}
ARITHMETIC = "The results below therefore describe the models, not biology."
_DIGITS, _MOST_DIGITS = 2, 12


def sentences(found: Conclusion, models: Sequence[ModelInfo]) -> list[str]:
    """What the conclusion says, the headline first; `models` are those of the run."""
    makers = {
        conclusion.LEAK: _leak, conclusion.TOO_FEW: _too_few, conclusion.AT_CHANCE: _at_chance, conclusion.SITE: _site,
        conclusion.FUSION: _fusion, conclusion.ONE_MODALITY: _one_modality,
    }  # fmt: skip
    said = makers.get(found.kind, _undecided)(found, models)
    if found.kind not in conclusion.NOTHING_STANDS and found.column:
        said.append(_column(found, models))
    return said


def cautions(found: Conclusion, models: Sequence[ModelInfo]) -> list[str]:
    """What stands over a part of the page that is about `models`, where the skill of one is no finding."""
    doubtful = [model for model in models if model.modalities and not found.stands(model.name)]
    if not doubtful:
        return []
    if found.kind == conclusion.LEAK:
        return ["No conclusion is possible until the leak is found: the results below may depend on it."]
    explained = [model for model in doubtful if model.name in found.better]
    at_chance = [model for model in doubtful if model.name not in found.better]
    column = _words(found.column)
    told = (
        (explained, f"not shown to carry information beyond the {column}", f"may reflect the {column} alone"),
        (at_chance, "not shown to be better than chance", "describe the model, not biology"),
    )
    return [_caution(group, lacks, describes) for group, lacks, describes in told if group]


def _caution(group: Sequence[ModelInfo], lacks: str, describes: str) -> str:
    if len(group) == 1:
        return f"This model ({group[0].title}) is {lacks}. The results below {describes}."
    named = ", ".join(model.title for model in group)
    return f"These models are {lacks}: {named}. The results below {describes.replace('the model,', 'the models,')}."


def shown(number: Number, *, against: Sequence[float] = (CHANCE,), signed: bool = False) -> str:
    """`0.71 [0.58, 0.84]`: two decimals, or as many as keep each bound on its side of each value of `against`."""
    values = (number.estimate, number.ci_low, number.ci_high)
    if math.isnan(number.estimate):
        return "–"
    if math.isnan(number.ci_low):
        return _rounded(number.estimate, _DIGITS, signed)
    digits = next(
        (
            digits
            for digits in range(_DIGITS, _MOST_DIGITS)
            if all(_side(round(bound, digits), a) == _side(bound, a) for bound in values[1:] for a in against)
        ),
        _MOST_DIGITS,
    )
    estimate, low, high = (_rounded(value, digits, signed) for value in values)
    return f"{estimate} [{low}, {high}]"


def _side(value: float, of: float) -> int:
    return (value > of) - (value < of)


def _rounded(value: float, digits: int, signed: bool) -> str:
    return f"{round(value, digits) + 0.0:{'+' if signed else ''}.{digits}f}"


def _leak(found: Conclusion, models: Sequence[ModelInfo]) -> list[str]:
    more = len(found.leaking) - 1
    others = f" The same is true of {more} other model{'s' if more > 1 else ''}." if more else ""
    return [
        "No conclusion is possible from this run: models are better than chance even with shuffled labels.",
        f"Over {found.shuffles} shuffles the mean AUROC of {_title(models, found.leaking[0])} is "
        f"{shown(found.numbers['null_mean'])}; with shuffled labels there is nothing to learn, and 0.5 is expected.{others}",
        "Information on test patients must have leaked into the fitting. Find the leak before using any result of this run.",
    ]


def _too_few(found: Conclusion, models: Sequence[ModelInfo]) -> list[str]:
    counts = " and ".join(f"{n} of {label}" for label, n in found.counts.items())
    if found.reason == "no_interval":
        why = f"With {found.n} scored patients ({counts}) no interval can be given."
    elif found.reason == "no_power":
        why = (
            f"With {found.n} scored patients ({counts}) and {_models(found)} evaluated, even a model without a single "
            "error could not be distinguished from chance."
        )
    else:
        why = (
            f"The highest AUROC of {_models(found)} is that of {_title(models, found.best)}: "
            f"{shown(found.numbers['best'], against=(CHANCE, USEFUL))} in {found.n} patients. The interval does not lie "
            f"above chance (0.5), and a useful model (AUROC of {USEFUL}) is not excluded."
        )
    units = "patients" if found.whole == "patient" else f"patients or {found.whole}s"
    return [f"There are too few {units} to tell whether any model is better than chance.", why, ARITHMETIC]


def _at_chance(found: Conclusion, models: Sequence[ModelInfo]) -> list[str]:
    return [
        "No model is shown to be better than chance.",
        f"The highest AUROC of {_models(found)} is that of {_title(models, found.best)}: "
        f"{shown(found.numbers['best'])} in {found.n} patients. The interval takes the choice among the models into "
        "account and does not lie above 0.5.",
        ARITHMETIC,
    ]


def _site(found: Conclusion, models: Sequence[ModelInfo]) -> list[str]:
    column, model = _words(found.column), found.column_model
    if model:
        reached = (
            f"{_start(_title(models, model))} {_within(found)}. Taking all evaluated models into account, this is not "
            "shown to be above 0.5"
        )
    else:
        reached = f"No model that is better than chance could be scored with the {column} taken into account"
    alone = shown(found.numbers["label_from_column"])
    second = f"Predicting the label from the {column} alone gives an AUROC of {alone}"
    if found.reason == "told":
        first = (
            f"The {column} alone predicts the label, and no model is shown to carry information beyond the {column}."
        )
    else:
        first = f"No model is shown to carry information beyond the {column}, which may predict the label by itself."
        second += f"; {UNRELATED} or more is not excluded"
    return [first, f"{second}.", f"{reached}: the models may recognise only the {column}."]


def _within(found: Conclusion) -> str:
    """The score of the evaluated model, and those that a column cannot explain."""
    column = _words(found.column)
    told = {
        "label_within_column": f"among patients of the same {column}",
        "label_whole_columns": f"when each {column} is scored by models fitted without it",
    }
    parts = [f"{shown(found.numbers[key])} {words}" for key, words in told.items() if key in found.numbers]
    return f"has an AUROC of {shown(found.numbers['column_model'])} over all patients, but {' and '.join(parts)}"


def _column(found: Conclusion, models: Sequence[ModelInfo]) -> str:
    """A column predicts the label, and a model is shown to carry information beyond it."""
    return (
        f"The {_words(found.column)} alone also predicts the label, with an AUROC of "
        f"{shown(found.numbers['label_from_column'])}, but does not explain everything: "
        f"{_title(models, found.column_model)} {_within(found).replace(', but ', ', and ')}."
    )


def _fusion(found: Conclusion, models: Sequence[ModelInfo]) -> list[str]:
    return [
        "The image and RNA together predict the label better than either alone.",
        f"{_start(_title(models, found.fused))} has an AUROC of {shown(found.numbers['fused'])}, and the best model of one "
        f"modality ({_title(models, found.single)}) {shown(found.numbers['single'])}. The difference is "
        f"{_difference(found)} in {found.n} patients with both modalities. It does not apply to patients with one modality.",
        *_simplest(found, models),
    ]


def _one_modality(found: Conclusion, models: Sequence[ModelInfo]) -> list[str]:
    (own,) = _model(models, found.single).modalities
    word, other = MODALITY_WORDS[own], next(MODALITY_WORDS[m] for m in MODALITIES if m != own)
    auroc = f"{_start(_title(models, found.single))} has an AUROC of {shown(found.numbers['single'])} in {found.n} patients."
    if not found.fused:
        first = (
            f"{_start(word)} alone predicts the label better than chance; no model in this run uses both modalities."
        )
        return [first, auroc, *_rival(found, models, other), *_simplest(found, models)]
    difference = found.numbers["difference"]
    gain = f"Adding {other} ({_title(models, found.fused)}) changes the AUROC by {_difference(found)}"
    excluded = difference.ci_high < MARGIN
    first = (
        f"{_start(word)} alone is enough: "
        if excluded
        else f"{_start(word)} alone predicts the label better than chance: "
    )
    return [
        f"{first}models of both modalities are not shown to be better.",
        f"{auroc} {gain}: a gain of {MARGIN} or more is {'' if excluded else 'not '}excluded.",
        *_rival(found, models, other),
        *_simplest(found, models),
    ]


def _rival(found: Conclusion, models: Sequence[ModelInfo], other: str) -> list[str]:
    """Whether the other modality by itself does as well; `other` names it."""
    if not found.rival:
        return []
    difference = found.numbers["rival"]
    named = f"{_title(models, found.single)} minus {_title(models, found.rival)} is {shown(difference, against=(0,), signed=True)}"
    if difference.ci_low <= 0 <= difference.ci_high:
        how = "and the two are not shown to differ"
    else:
        how = "but performs worse" if difference.ci_low > 0 else "and performs better"
    return [f"{_start(other)} alone is also better than chance, {how}: {named}."]


def _undecided(found: Conclusion, models: Sequence[ModelInfo]) -> list[str]:
    if found.reason == "no_model":
        return ["No model in this run uses images or RNA, so there is nothing to conclude."]
    auroc = (
        f"{_start(_title(models, found.best))} has an AUROC of {shown(found.numbers['best'])} in {found.n} patients."
    )
    first = "Models are better than chance, but this run cannot show whether both modalities are needed."
    if found.reason == "no_single":
        return [first, auroc, "There are no models of each modality alone for comparison."]
    at_chance = ", which is not shown to be better than chance," if found.single not in found.better else ""
    why = (
        f"The difference between {_title(models, found.fused)} and {_title(models, found.single)}{at_chance} is "
        f"{_difference(found)}."
    )
    return [first, auroc, why]


def _simplest(found: Conclusion, models: Sequence[ModelInfo]) -> list[str]:
    """What to take in place of the best model, in at most one statement."""
    best = _title(models, found.best)
    if not found.simplest_asked:
        return []
    if not found.simplest:
        return [f"No simpler model is shown to be within {MARGIN} of the best one, {best}."]
    difference = shown(found.numbers["simplest"], against=(0, -MARGIN), signed=True)
    return [
        f"The simplest model that is less than {MARGIN} worse than the best one ({best}) is "
        f"{_title(models, found.simplest)}: difference {difference}."
    ]


def _models(found: Conclusion) -> str:
    return f"{found.looked_at} model{'' if found.looked_at == 1 else 's'}"


def _difference(found: Conclusion) -> str:
    return shown(found.numbers["difference"], against=(0, MARGIN), signed=True)


def _title(models: Sequence[ModelInfo], name: str) -> str:
    return _model(models, name).title


def _model(models: Sequence[ModelInfo], name: str) -> ModelInfo:
    return next(model for model in models if model.name == name)


def _words(column: str) -> str:
    return column.replace("_", " ")


def _start(text: str) -> str:
    return text[:1].upper() + text[1:]


def known_numbers(numbers: Mapping[str, Number]) -> dict[str, dict[str, float | None]]:
    """Numbers as plain values for programs; what is not known is None."""
    return {
        role: {name: None if math.isnan(value) else value for name, value in vars(number).items()}
        for role, number in numbers.items()
    }
