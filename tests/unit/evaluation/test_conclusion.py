"""What a run comes down to: every kind of cohort gets its own, and no sentence contradicts its numbers."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from conclusion_data import MODELS, concluded, confounding, factors, null_summary, predictions, scores_of, told
from hypothesis import given, settings
from hypothesis import strategies as st

from histoweave.evaluation.choice import CHOICE_TYPES
from histoweave.evaluation.chosen_scores import Number
from histoweave.evaluation.conclusion import KINDS, MARGIN, conclude
from histoweave.evaluation.conclusion_wording import cautions, known_numbers, sentences, shown
from histoweave.fusion import catalog

SINGLE = [model.name for model in MODELS if len(model.modalities) == 1]
BOTH = [model.name for model in MODELS if len(model.modalities) == 2]
NUMBER = re.compile(r"([+-]?\d\.\d+) \[([+-]?\d\.\d+), ([+-]?\d\.\d+)\]")
COUNTS = {"neg": 40, "pos": 40}


def cohort(truth: str, *, seed: int = 0, n: int = 80):
    """Pooled predictions of a cohort whose label needs what `truth` names, and its sites."""
    rng = np.random.default_rng(seed)
    a, b = factors(rng, n)
    nothing, sites = rng.normal(size=(2, n)), np.arange(n) % 4
    label, known = {
        "image": (a > 0, (2 * a, nothing[0], 1.5 * a)),
        "rna": (b > 0, (nothing[0], 2 * b, 1.5 * b)),
        "sum": (a + b > 0, (a, b, 3 * (a + b))),
        "interaction": (a * b > 0, (a, b, 3 * a * b)),
        "weak": (0.1 * a + nothing[1] > 0, (a, b, a + b)),
        "none": (nothing[1] > 0, (a, b, a + b)),
        "site": (rng.uniform(size=n) < np.array([0.1, 0.3, 0.7, 0.9])[sites], (sites * 1.0,) * 3),
    }[truth]
    return predictions(label.astype(int), scores_of(rng, *known)), sites


@pytest.mark.parametrize(
    ("truth", "kind"),
    [
        ("image", "one_modality"), ("rna", "one_modality"), ("sum", "fusion"), ("interaction", "fusion"),
        ("weak", "chance"), ("none", "chance"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", [1, 2])
def test_each_truth_is_found(truth, kind, seed):
    table, _ = cohort(truth, seed=seed, n=100)
    found = concluded(table)
    assert found.kind == kind and found.n == 100 and sum(found.counts.values()) == 100
    said = sentences(found, MODELS)
    if kind == "one_modality":
        own = {"image": "image", "rna": "expression"}[truth]
        assert catalog.get(found.single).modalities == {own}
        assert said[0].startswith({"image": "The image alone", "rna": "RNA alone"}[truth])
    if kind == "fusion":
        assert found.fused in BOTH and found.single in SINGLE and found.numbers["difference"].ci_low > 0
    if kind == "chance":
        assert not found.better and said[0] == "No model is shown to be better than chance."


def test_a_handful_of_patients_is_too_few():
    for n, reason in ((8, "no_interval"), (18, "wide")):
        found = concluded(cohort("none", seed=3, n=n)[0])
        assert (found.kind, found.reason) == ("too_few", reason)
        assert f"{n} " in sentences(found, MODELS)[1]
    of_sites = concluded(cohort("none", n=8)[0], group_by="site")
    assert sentences(of_sites, MODELS)[0].startswith("There are too few patients or sites to tell")
    choice = told(cohort("none", n=60)[0])
    found = conclude(choice, models=MODELS, counts={"neg": 57, "pos": 2}, confidence=0.95)
    assert (found.kind, found.reason) == ("too_few", "no_power")


TOLD = ("label_from_column", "", 0.75, 0.62, 0.88)


def test_labels_of_the_site_under_folds_by_patient_and_by_site():
    table, sites = cohort("site", seed=2)
    assert concluded(table).kind in ("one_modality", "fusion"), "without the question the site is taken for skill"
    within = [("label_within_column", name, 0.48, 0.34, 0.62) for name in catalog.names()]
    whole = ("label_whole_columns", "image", 0.5, 0.3, 0.7)
    found = concluded(table, confounding=confounding(TOLD, *within, whole))
    assert (found.kind, found.column) == ("site", "site")
    assert not any(found.stands(model.name) for model in MODELS)
    said = sentences(found, MODELS)
    assert said[0].startswith("The site alone predicts the label") and "0.75 [0.62, 0.88]" in said[1]
    assert "0.48 [0.34, 0.62] among patients of the same site" in said[2]
    # Without a score that takes the site into account nothing is shown beyond it.
    assert "could be scored" in sentences(concluded(table, confounding=confounding(TOLD)), MODELS)[2]
    # Folds that keep sites whole have asked already: there the models fall to chance. Four sites tell little.
    rng = np.random.default_rng(0)
    blind = predictions(
        (table.query("model == 'image'")["y_true"] == "pos").to_numpy(int),
        scores_of(rng, *rng.normal(size=(3, 80))),
        sites=sites,
    )
    assert concluded(blind, group_by="site", confounding=confounding(TOLD)).kind in ("chance", "too_few")
    assert concluded(table, group_by="site", confounding=confounding(TOLD)).kind in ("one_modality", "fusion")


def test_skill_beyond_the_site_is_said_to_be_there():
    table, _ = cohort("image", seed=1)
    rows = confounding(
        TOLD, ("label_within_column", "image", 0.8, 0.66, 0.94), ("label_whole_columns", "image", 0.6, 0.4, 0.8)
    )
    found = concluded(table, confounding=rows)
    assert found.kind == "one_modality" and found.stands("image")
    last = sentences(found, MODELS)[-1]
    assert "does not explain everything" in last and "0.80 [0.66, 0.94]" in last
    unrelated = confounding(("label_from_column", "", 0.5, 0.41, 0.59))
    assert concluded(table, confounding=unrelated) == concluded(table)
    unknown = confounding(("label_from_column", "", math.nan, math.nan, math.nan))
    assert concluded(table, confounding=unknown) == concluded(table)


def test_a_site_that_is_not_ruled_out_needs_skill_within_sites():
    table, _ = cohort("image", seed=1)
    alone = ("label_from_column", "", 0.55, 0.42, 0.68)
    weak = confounding(alone, ("label_within_column", "image", 0.62, 0.49, 0.75))
    found = concluded(table, confounding=weak)
    assert (found.kind, found.reason, found.column) == ("site", "not_ruled_out", "site") and not found.stands("image")
    said = sentences(found, MODELS)
    assert (
        said[0].startswith("No model is shown to carry information beyond the site")
        and "0.6 or more is not excluded" in said[1]
    )
    strong = confounding(alone, ("label_within_column", "image", 0.8, 0.66, 0.94))
    assert concluded(table, confounding=strong).kind == "one_modality" == concluded(table).kind
    assert concluded(table, confounding=strong).column == ""


def test_the_scores_within_sites_allow_for_how_many_were_looked_at():
    table, _ = cohort("sum", seed=1)
    names = [name for name in catalog.names() if catalog.get(name).modalities]
    row = ("label_within_column", 0.62, 0.505, 0.735)
    one = confounding(TOLD, (row[0], concluded(table).best, *row[1:]))
    assert concluded(table, confounding=one).kind != "site"
    many = confounding(TOLD, *((row[0], name, *row[1:]) for name in names))
    assert concluded(table, confounding=many).kind == "site"


def test_a_leak_comes_before_everything():
    table, _ = cohort("image", seed=1)
    found = concluded(
        table, control=null_summary("image", 0.61, 0.5002, 0.66, leak=True), confounding=confounding(TOLD)
    )
    assert found.kind == "leak" and found.leaking == ("image",)
    assert "0.6100 [0.5002, 0.6600]" in sentences(found, MODELS)[1]
    assert concluded(table, control=null_summary("image", 0.5, 0.4, 0.6, leak=False)) == concluded(table)


def table_of(aurocs: dict[str, tuple[float, float]], half: float = 0.02, halves: dict | None = None) -> pd.DataFrame:
    """`choice.parquet` of models with (AUROC, half width); differences have `half`, or that of `halves`."""
    names = [name for name in catalog.names() if name in aurocs]
    rows = [("models", name, "", aurocs[name][0], aurocs[name][1]) for name in names]
    for place, a in enumerate(names):
        for b in names[:place]:
            family = "fusion_single" if (a in BOTH) and (b in SINGLE) else "pairs"
            rows.append((family, a, b, aurocs[a][0] - aurocs[b][0], (halves or {}).get((a, b), half)))
    table = pd.DataFrame(rows, columns=["family", "model_a", "model_b", "estimate", "half"])
    table["ci_low"], table["ci_high"] = table["estimate"] - table["half"], table["estimate"] + table["half"]
    return table.assign(n=80, looked_at=1)[list(CHOICE_TYPES)]


def of(aurocs, **how):
    models = [catalog.get(name) for name in catalog.names() if name in aurocs]
    return conclude(table_of(aurocs, **how), models=models, counts=COUNTS, confidence=0.95)


GOOD = {"best_gene": (0.79, 0.1), "image": (0.7, 0.1), "expression": (0.8, 0.1), "concat": (0.81, 0.1)}


def test_the_simplest_model_is_the_one_that_is_shown_not_to_be_worse():
    found = of(GOOD, half=0.025)
    assert (found.kind, found.best, found.simplest) == ("one_modality", "concat", "best_gene")
    assert sentences(found, MODELS)[-1].endswith("is single best gene: difference -0.020 [-0.045, +0.005].")
    assert of(GOOD, half=0.035).simplest == "expression", "-0.02 - 0.035 lies beyond the margin, -0.01 - 0.035 does not"
    assert of(GOOD, half=0.045).simplest == ""
    assert of(GOOD | {"best_gene": (0.79, 0.3)}, half=0.025).simplest == "expression", "chance is not excluded for it"
    alone = of({"best_gene": (0.8, 0.1)})
    assert (alone.simplest, alone.simplest_asked) == ("best_gene", False)


def test_a_model_of_both_has_to_beat_every_model_of_one():
    strong = GOOD | {"concat": (0.95, 0.04)}
    assert of(strong, half=0.1).kind == "fusion"
    found = of(strong, half=0.1, halves={("concat", "image"): 0.3})
    assert (found.kind, found.single, found.fused) == ("one_modality", "image", "concat")
    assert found.numbers["difference"].ci_low < 0


def test_a_gain_that_is_not_excluded_is_said_to_be_possible():
    assert "a gain of 0.05 or more is not excluded" in sentences(of(GOOD, half=0.05), MODELS)[1]
    said = sentences(of(GOOD, half=0.03), MODELS)
    assert said[0].startswith("RNA alone is enough") and "a gain of 0.05 or more is excluded" in said[1]


def test_the_other_modality_is_named_where_it_does_as_well():
    assert of(GOOD).rival == "image" and "performs worse" in " ".join(sentences(of(GOOD), MODELS))
    assert "the two are not shown to differ" in " ".join(sentences(of(GOOD, half=0.2), MODELS))
    assert of(GOOD | {"image": (0.55, 0.1)}).rival == ""


def test_what_cannot_be_decided():
    found = of({"concat": (0.9, 0.05)})
    assert (found.kind, found.reason) == ("undecided", "no_single")
    found = of({"image": (0.55, 0.2), "expression": (0.6, 0.2), "concat": (0.75, 0.1)}, half=0.3)
    assert (found.kind, found.reason) == ("undecided", "single_at_chance")
    assert "not shown to be better than chance" in sentences(found, MODELS)[2]
    found = conclude(table_of({}), models=MODELS, counts=COUNTS, confidence=0.95)
    assert (found.kind, found.reason) == ("undecided", "no_model") and len(sentences(found, MODELS)) == 1
    alone = of({"image": (0.8, 0.1)})
    assert alone.kind == "one_modality" and "no model in this run uses both" in sentences(alone, MODELS)[0]


def test_cautions_name_the_models_that_are_not_better_than_chance():
    found = of(GOOD | {"image": (0.55, 0.1), "best_gene": (0.5, 0.1)})
    both = cautions(found, [catalog.get(name) for name in ("image", "best_gene", "expression", "majority")])
    assert (
        len(both) == 1 and "image alone, single best gene" in both[0] and "describe the models, not biology" in both[0]
    )
    one = cautions(found, [catalog.get("image")])
    assert one == [
        "This model (image alone) is not shown to be better than chance. The results below describe the model, not biology."
    ]
    assert cautions(found, [catalog.get("expression")]) == []


def test_digits_are_added_until_they_agree_with_the_sentence():
    assert shown(Number(0.6, 0.5004, 0.7)) == "0.6000 [0.5004, 0.7000]"
    assert shown(Number(0.6, 0.51, 0.7)) == "0.60 [0.51, 0.70]"
    assert shown(Number(0.02, -0.001, 0.04), against=(0,), signed=True) == "+0.020 [-0.001, +0.040]"
    assert shown(Number(0.6, math.nan, math.nan)) == "0.60" and shown(Number(*[math.nan] * 3)) == "–"
    assert known_numbers({"a": Number(0.5, math.nan, 1)}) == {"a": {"estimate": 0.5, "ci_low": None, "ci_high": 1}}


POSSIBLE = st.fixed_dictionaries(
    {}, optional={model.name: st.tuples(st.floats(0, 1), st.floats(0, 0.5)) for model in MODELS if model.modalities}
)


@settings(max_examples=300, deadline=None)
@given(POSSIBLE, st.floats(0.0001, 0.4), st.floats(0.3, 1), st.floats(0, 0.4), st.booleans())
def test_no_sentence_contradicts_its_numbers(aurocs, half, told_by_site, width, leak):
    models = [catalog.get(name) for name in catalog.names() if name in aurocs]
    site = confounding(
        ("label_from_column", "", told_by_site, told_by_site - width, told_by_site + width),
        *(("label_within_column", name, value, value - width, value + width) for name, (value, _) in aurocs.items()),
    )
    control = null_summary(next(iter(aurocs), "majority"), 0.55, 0.5001, 0.6, leak=leak and bool(aurocs))
    found = conclude(
        table_of(aurocs, half), models=models, counts=COUNTS, confidence=0.95, confounding=site, control=control
    )
    said = sentences(found, models)
    assert found.kind in KINDS and 1 <= len(said) <= 5
    text = " ".join(said)
    for numbers in NUMBER.findall(text):
        estimate, low, high = map(float, numbers)
        assert low <= estimate <= high
    first = {role: NUMBER.search(shown(number)) for role, number in found.numbers.items()}
    low = {role: float(number.group(2)) for role, number in first.items()}
    assert (found.kind == "leak") == (leak and bool(aurocs))
    if found.kind == "chance":
        assert float(NUMBER.search(said[1]).group(2)) <= 0.5 and not found.better
    if found.kind in ("one_modality", "fusion", "undecided") and "best" in low:
        assert low["best"] > 0.5
    if found.kind == "one_modality":
        assert low["single"] > 0.5
    gain = re.search(r"changes the AUROC by (\S+) \[(\S+), (\S+)\]: a gain of 0.05 or more is (not )?excluded", text)
    if gain:
        assert (float(gain.group(3)) < MARGIN) == (gain.group(4) is None) and float(gain.group(2)) <= 0
    if found.kind == "fusion":
        assert float(re.search(r"difference is \S+ \[(\S+),", text).group(1)) > 0
    if found.simplest and found.simplest != found.best and found.kind in ("one_modality", "fusion"):
        simplest = NUMBER.findall(said[-1] if "simplest" in said[-1] else said[-2])[-1]
        assert float(simplest[1]) > -MARGIN and float(simplest[2]) >= 0
    if found.kind == "site":
        assert found.column == "site" and (found.reason == "not_ruled_out" or low["label_from_column"] > 0.5)


def test_cohorts_without_signal_are_rarely_taken_for_more():
    """200 cohorts of 72 patients whose labels are shuffled, with correlated models: two standard errors above 5 %."""
    kinds, covered = Counter(), 0
    for seed in range(200):
        rng = np.random.default_rng(1000 + seed)
        y = rng.permutation(np.arange(72) % 2)
        a, b = factors(rng, 72)
        table = predictions(y, scores_of(rng, a, b, a + b))
        found = concluded(table)
        kinds[found.kind] += 1
        covered += not found.better
    assert kinds["chance"] + kinds["too_few"] >= 200 * 0.95 - 2 * math.sqrt(200 * 0.05 * 0.95), kinds
    assert covered == kinds["chance"] + kinds["too_few"]


def test_skill_that_is_explained_is_no_finding():
    found = of(GOOD)
    assert found.stands("expression") and not dataclasses.replace(found, kind="site").stands("expression")
