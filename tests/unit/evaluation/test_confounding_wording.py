"""What is said of site, scanner and other columns."""

import numpy as np
import pandas as pd
import pytest
from confounding_data import answers

from histoweave.evaluation.confounding_wording import looked_at, main_model, shown, verdicts
from histoweave.fusion import catalog

MODELS = ("majority", "image", "expression", "concat")
TITLES = {model: catalog.get(model).title for model in MODELS}
MAIN = TITLES["concat"]
HOLDS, CHANCE, WORSE = (0.8, 0.7, 0.9), (0.47, 0.33, 0.61), (0.3, 0.2, 0.4)
FOUND, NOTHING, UNKNOWN = (0.72, 0.61, 0.83), (0.49, 0.38, 0.6), (np.nan,) * 3


def metrics(low=0.6):
    row = {"metric": "auroc", "scope": "pooled", "estimate": 0.7, "ci_low": low, "ci_high": 0.8}
    return pd.DataFrame([row | {"model": model} for model in MODELS])


def said(table, *, low=0.6, by_patient=True):
    return verdicts(table, metrics(low), titles=TITLES, by_patient=by_patient)[0]


@pytest.mark.parametrize(
    ("alone", "within", "low", "by_patient", "status", "words"),
    [
        (
            FOUND,
            CHANCE,
            0.6,
            True,
            "explained",
            "which does not exclude chance: the site may explain its result.",
        ),
        (FOUND, WORSE, 0.6, True, "explained", f"Among patients of the same site, {MAIN} is worse than chance"),
        (FOUND, UNKNOWN, 0.6, True, "explained", f"It is not known whether {MAIN} separates the classes"),
        (FOUND, HOLDS, 0.6, True, "associated", "holds among patients of the same site: AUROC 0.80 [0.70, 0.90]."),
        (FOUND, CHANCE, 0.5, True, "associated", "so there is no result to explain."),
        (
            NOTHING,
            CHANCE,
            0.6,
            True,
            "told",
            f"the predictions of {MAIN} carry information about the site (AUROC 0.81 [0.70, 0.90]",
        ),
        (NOTHING, CHANCE, 0.6, False, "clear", "no sign that it explains the results."),
        (
            UNKNOWN,
            CHANCE,
            0.6,
            True,
            "unknown",
            "It is not known whether the site predicts the label: too few patients.",
        ),
    ],
)
def test_the_rules(alone, within, low, by_patient, status, words):
    found = said(answers(MODELS, alone=alone, within=within), low=low, by_patient=by_patient)
    assert found.status == status and words in found.says and found.column == "site"
    assert "nan" not in found.says


def test_the_others_and_the_whole_sites_are_told_of():
    table = answers(MODELS, within=CHANCE)
    image = (table["question"] == "label_within_column") & (table["model"] == "image")
    table.loc[image, ["estimate", "ci_low", "ci_high"]] = HOLDS
    found = said(table).says
    assert (
        f"1 of 3 evaluated models ({TITLES['image']}) has an interval above 0.5 among patients of the same site."
        in found
    )
    assert f"With whole sites left out of the fitting, the AUROC of {MAIN} is 0.51 [0.40, 0.62]." in found
    assert "None of 3 evaluated models has" in said(answers(MODELS, within=CHANCE)).says


def test_each_column_has_its_verdict_and_its_name_in_words():
    table = pd.concat([answers(MODELS), answers(MODELS, column="year_of_surgery", alone=NOTHING)[:-1]])
    found = verdicts(table, metrics(), titles=TITLES, by_patient=True)
    assert [(one.column, one.status) for one in found] == [
        ("site", "explained"), ("scanner", "unknown"), ("year_of_surgery", "told"),
    ]  # fmt: skip
    assert "that the year of surgery alone predicts" in found[2].says
    assert (
        found[1].says
        == "It is not known whether the scanner predicts the label: fewer than two levels have enough patients."
    )
    assert looked_at(table).startswith("3 columns and 3 models were evaluated.")


def test_the_main_model_is_chosen_by_its_place():
    assert main_model(TITLES) == "concat"
    assert main_model({"majority": "", "image": "", "best_gene": ""}) == "best_gene"
    assert main_model({"majority": ""}) is None
    alone = verdicts(answers(("majority",)), metrics(), titles={"majority": "majority"}, by_patient=True)
    assert alone[0].status == "associated"


def test_digits_do_not_contradict_the_sentence():
    row = {"estimate": 0.61, "ci_low": 0.5031, "ci_high": 0.72}
    assert shown(row) == "0.610 [0.503, 0.720]"
    assert shown(row | {"ci_low": 0.4962}) == "0.610 [0.496, 0.720]"
    assert shown(row | {"ci_low": 0.5}) == "0.61 [0.50, 0.72]"
    assert shown(row | {"ci_low": np.nan, "ci_high": np.nan}) == "0.61"
    assert shown(row | {"estimate": np.nan}) == "not known"
