"""What the page of an external cohort puts first: who was predicted, what was called, whether it was right."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from applied_data import CLASSES, HOSTILE, MODELS, write_applied_run

from histoweave.apply.statuses import ABSTAINED, INSISTED
from histoweave.pages.applied import page as applied
from histoweave.pages.applied import wording as applied_wording
from histoweave.pages.applied.as_json import applied_content, write_applied_json
from histoweave.pages.applied.calls import calls, leading, reasons_table, standing
from histoweave.pages.applied.inputs import read_applied
from histoweave.pages.applied.scores import class_coverage_words, score_cards, standing_words, warnings
from histoweave.storage.files import write_table

RNA = ("expression", "cross_attention")
WHY = f"RNA: the medians of 48 of 50 genes lie outside {HOSTILE}"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_applied_run(tmp_path_factory.mktemp("applied"))


@pytest.fixture(scope="module")
def tables(inputs):
    return read_applied(inputs)


def with_status(tables, status, *, models=RNA, patients=None):
    """The tables in which models that read RNA gave nothing (or what was insisted on), to all patients or to some."""
    table = tables.predictions.copy()
    rows = table["model"].isin(models) & (table["status"] == "ok")
    rows &= table["patient"].isin(patients if patients is not None else table["patient"])
    table.loc[rows, ["status", "reason"]] = [status, WHY]
    table.loc[rows, ["set", "set_class"]] = None
    if status == ABSTAINED:
        table.loc[rows, [column for column in table if column.startswith("p_")]] = np.nan
        table.loc[rows, "called"] = None
    return dataclasses.replace(tables, predictions=table)


def coverage_of(tables, **scopes):
    """The tables with these (estimate, low, high) as the main model's coverage."""
    rows = [
        {"model": tables.main, "level": 0.9, "kind": "marginal", "scope": scope.replace("_of_", ":"), "coverage": estimate, "ci_low": low,
         "ci_high": high, "mean_set_size": 1.1, "n": 37, "singletons": 30, "empty": 0}
        for scope, (estimate, low, high) in scopes.items()
    ]  # fmt: skip
    return dataclasses.replace(tables, coverage=pd.DataFrame(rows))


def metrics_of(tables, **scores):
    """The tables with these (estimate, low, high) as the main model's pooled metrics."""
    table = tables.metrics.copy()
    for metric, values in scores.items():
        row = (table["model"] == tables.main) & (table["scope"] == "pooled") & (table["metric"] == metric)
        table.loc[row, ["estimate", "ci_low", "ci_high"]] = values
    return dataclasses.replace(tables, metrics=table)


def page_of(tables, inputs, folder):
    """The page of changed tables."""
    changes = {}
    for name in ("predictions", "metrics", "coverage"):
        write_table(folder / f"{name}.parquet", getattr(tables, name))
        changes[name] = folder / f"{name}.parquet"
    changed = dataclasses.replace(inputs, **changes)
    applied.write_applied(changed, folder / "report.html")
    write_applied_json(changed, folder / "report.json")
    return (folder / "report.html").read_text(encoding="utf-8"), json.loads((folder / "report.json").read_text())


def test_accuracy_stands_before_auroc_and_auroc_never_alone(tables):
    cards = [card.label for card in applied.key_numbers(tables, 0.9)]
    assert cards[-3:] == ["Accuracy here", "Balanced accuracy here", "AUROC here"]
    changed = metrics_of(tables, accuracy=(0.07, 0.03, 0.14), auroc=(0.89, 0.8, 0.95))
    assert [card.value for card in score_cards(changed)] == ["0.07", "0.81", "0.89"]
    (sentence,) = [s for s in applied_wording.summary(changed, trained_on="demo", level=0.9) if "AUROC" in s]
    assert "an accuracy of 0.07 [0.03, 0.14], a balanced accuracy of 0.81" in sentence and "AUROC of 0.89" in sentence


def test_calls_are_those_of_a_cross_table(tables):
    found = calls(tables).set_index("true_class")
    rows = leading(tables)
    expected = pd.crosstab(rows["y_true"], rows["called"])
    for truth in CLASSES:
        for label in CLASSES:
            assert found.loc[truth, f"called_{label}"] == expected.loc[truth, label]
    assert found.loc["all", "patients"] == 40 and found.loc["all", "no_call"] == 1
    assert (found.drop("all").sum() == found.loc["all"]).all()


def test_unknown_labels_and_none_have_rows_of_their_own(tables):
    table = tables.predictions.copy()
    for patient, label in (("HB00010", "Normal"), ("HB00011", None)):
        table.loc[table["patient"] == patient, "y_true"] = label
    found = calls(dataclasses.replace(tables, predictions=table))
    assert found["true_class"].tolist() == [*CLASSES, "another label", "no label", "all"]
    assert found["patients"].tolist()[2:] == [1, 1, 40]
    nobody = calls(dataclasses.replace(tables, predictions=table.assign(y_true=None)))
    assert nobody["true_class"].tolist() == ["all"]


def test_everybody_withheld_but_who_has_images(tables):
    """All models of the RNA abstain: the image model leads, and who has RNA alone is withheld."""
    lost = with_status(tables, ABSTAINED)
    assert lost.main == "image" and set(leading(lost)["model"]) == {"image"}
    counted = standing(lost)
    assert (counted.given, counted.predicted, counted.withheld, counted.unable) == (40, 38, 1, 1)
    assert counted.partly == 37 and counted.insisted == 0
    words = standing_words(lost)
    assert words.startswith(f"38 of 40 patients have a prediction, 1 withheld: {WHY}; 1 could not be predicted")
    table = reasons_table(lost, ABSTAINED)
    assert [cell.text for cell in table.rows[0][:2]] == [WHY, "38"] and len(table.rows) == 1


def test_nobody_is_predicted_by_a_model_that_reads_nothing(tables):
    only = tables.predictions[tables.predictions["model"].isin(["majority", "expression"])]
    lost = with_status(dataclasses.replace(tables, predictions=only), ABSTAINED)
    lost = dataclasses.replace(lost, models=tuple(m for m in tables.models if m.name in ("majority", "expression")))
    counted = standing(lost)
    assert counted.predicted == 0 and counted.withheld == 38 and leading(lost).empty
    (first, *_) = warnings(lost, 0.9)
    assert (
        first == standing_words(lost) == applied_wording.summary(lost, trained_on="demo", level=0.9)[0].split(" For")[0]
    )
    metrics = tables.metrics[tables.metrics["model"] == "majority"]
    lost = dataclasses.replace(lost, metrics=metrics, coverage=tables.coverage.head(0))
    assert {card.value for card in score_cards(lost)} == {"–"}
    assert "No prediction of" in " ".join(applied_wording.summary(lost, trained_on="demo", level=0.9))


def test_withheld_predictions_are_on_the_page_once_per_reason(tables, inputs, tmp_path):
    lost = with_status(tables, ABSTAINED, patients=[f"HB{i:05d}" for i in range(20)])
    html, content = page_of(lost, inputs, tmp_path)
    assert "<h3>Withheld predictions</h3>" in html and "<h3>Forced predictions</h3>" not in html and HOSTILE not in html
    assert content["withheld"] == [{"reason": WHY, "models": [tables.titles[name] for name in RNA], "patients": 18}]
    assert content["patients"]["withheld"] == 1 and content["patients"]["partly"] == 17
    assert content["findings"][0].startswith("38 of 40 patients have a prediction, 1 withheld: ")


def test_what_was_insisted_on_is_said_everywhere(tables, inputs, tmp_path):
    forced = with_status(tables, INSISTED, models=tuple(MODELS))
    html, content = page_of(forced, inputs, tmp_path)
    assert content["patients"]["insisted"] == 39 and content["insisted"][0]["patients"] == 39
    assert content["warnings"][0].startswith("apply.insist is set") and "not calibrated" in content["warnings"][0]
    assert "<h3>Forced predictions</h3>" in html and html.count("forced") > 39
    assert all(
        card["note"].endswith("forced predictions") for card in content["key_numbers"] if "here" in card["label"]
    )
    (scores,) = [sentence for sentence in content["findings"] if sentence.startswith("Compared with the labels")]
    assert scores.endswith("(forced predictions).")


def test_a_call_that_needs_no_insisting_comes_first(tables):
    forced = with_status(tables, INSISTED)
    assert set(leading(forced)["model"]) == {"image", "expression"} and standing(forced).insisted == 1


def test_a_broken_promise_is_told_on_top(tables, inputs, tmp_path):
    kept = coverage_of(tables, pooled=(0.92, 0.78, 0.98), class_of_Luminal=(0.9, 0.7, 0.98))
    assert warnings(kept, 0.9) == []
    broken = coverage_of(
        tables, pooled=(0.14, 0.05, 0.29), class_of_Luminal=(0.0, 0.0, 0.2), class_of_Basal_Her2=(0.93, 0.8, 0.99)
    )
    (warning,) = warnings(broken, 0.9)
    assert "stated coverage of 90%" in warning and "14% [5%, 29%] of all 37 patients" in warning
    assert "0% [0%, 20%] of the 37 of Luminal" in warning and "Basal_Her2" not in warning
    luminal, basal = class_coverage_words(broken, 0.9)
    assert luminal.startswith("Luminal: the prediction sets contain") and "less often than the stated 90%" in luminal
    assert basal.startswith("Basal_Her2: ") and "the interval includes the stated 90%" in basal
    html, _ = page_of(broken, inputs, tmp_path)
    assert html.index("do not reach their stated coverage") < html.index('<div class="cards">')
    of_class = dataclasses.replace(broken, coverage=broken.coverage.assign(kind="class"))
    assert "sets with one threshold per class do not reach" in warnings(of_class, 0.9)[0]
    assert "sets with one threshold per class contain" in class_coverage_words(of_class, 0.9)[0]
    both = pd.concat([broken.coverage, of_class.coverage.head(1)])
    assert len(warnings(dataclasses.replace(broken, coverage=both), 0.9)) == 2


@pytest.mark.parametrize(("high", "told"), [(0.3, True), (0.99, False)])
def test_calls_worse_than_the_most_frequent_class_are_told(tables, high, told):
    changed = metrics_of(tables, accuracy=(0.07, 0.03, high), auroc=(0.89, 0.8, 0.95))
    found = warnings(changed, 0.9)
    assert bool(found) == told
    if told:
        truth = tables.predictions.query("model == @tables.main and status == 'ok'")["y_true"]
        share = truth.value_counts(normalize=True)
        assert f"predicting {share.idxmax()} for every patient ({share.max():.0%})" in found[0]
        assert "AUROC of 0.89 shows only" in found[0]


def test_labels_of_whom_nobody_was_predicted(tables, inputs, tmp_path):
    lost = with_status(tables, ABSTAINED, models=tuple(MODELS))
    empty = dataclasses.replace(lost, metrics=tables.metrics.head(0), coverage=tables.coverage.head(0))
    html, content = page_of(empty, inputs, tmp_path)
    assert applied_wording.UNSCORED in content["findings"] and "Not shown: no patient with a label" in html
    assert content["findings"][0].startswith("0 of 40 patients have a prediction, 39 withheld: ")


def test_the_report_for_programs_holds_no_patient_and_repeats(inputs, tables, tmp_path):
    for name in ("one", "two"):
        write_applied_json(inputs, tmp_path / f"{name}.json")
    text = (tmp_path / "one.json").read_text()
    assert text == (tmp_path / "two.json").read_text()
    content = json.loads(text)
    assert content == json.loads(json.dumps(applied_content(inputs, tables)))
    assert content["schema"] == "histoweave.applied" and content["main_model"] == "cross_attention"
    assert "predictions" not in content and len(content["metrics"]) == len(tables.metrics)
