"""The page of an external cohort: what it says is what the tables say; escaped, complete, repeatable."""

from __future__ import annotations

import dataclasses
import re

import pytest
from applied_data import CLASSES, HOSTILE, MODELS, write_applied_run

from histoweave.pages.applied import page as applied
from histoweave.pages.applied import wording as applied_wording
from histoweave.pages.applied.inputs import read_applied
from histoweave.storage.files import read_json, read_table, write_json, write_table


@pytest.fixture(scope="module", params=[True, False], ids=["labelled", "unlabelled"])
def inputs(request, tmp_path_factory):
    return write_applied_run(tmp_path_factory.mktemp("applied"), labelled=request.param)


@pytest.fixture(scope="module")
def tables(inputs):
    return read_applied(inputs)


@pytest.fixture(scope="module")
def html(inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "report.html"
    applied.write_applied(inputs, out)
    return out.read_text(encoding="utf-8")


def test_every_section_is_there_in_order(html):
    assert re.findall(r'<section id="([^"]+)"', html) == list(applied.SECTIONS)


def test_equal_tables_give_equal_bytes(inputs, html, tmp_path):
    applied.write_applied(inputs, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == html


def test_nothing_is_fetched_and_text_is_escaped(html):
    assert "http://" not in html and "https://" not in html
    # In a reason, in a check, and in the words of a drift.
    assert HOSTILE not in html and html.count("&lt;script&gt;alert(") >= 3


def test_without_labels_nothing_is_scored(tables, html):
    assert ("Not shown: the patients have no labels." in html) == (not tables.labelled)
    assert (applied_wording.UNLABELLED in html) == (not tables.labelled)
    assert ("AUROC here" in html) == tables.labelled == ("True class" in html)


def test_each_patient_has_the_call_of_a_model_that_can_give_it(tables):
    rows = applied.leading(tables).set_index("patient")
    models = rows["model"]
    assert models["HB00000"] == "expression" and models["HB00001"] == "image" and "HB00002" not in models
    assert (models.drop(["HB00000", "HB00001"]) == "cross_attention").all() and len(models) == 39
    shown = applied.patients_table(tables)
    for cells in shown.rows:
        row = rows.loc[cells[0].text]
        text = {title: cell.text for title, cell in zip(shown.columns, cells, strict=True)}
        assert text["Predicted class"].removesuffix(" ✗") == row["called"] and text["Set"] == row["set"]
        assert text["Probability"] == f"{row['p_' + row['called']]:.2f}"
        assert text["Predicted class"].endswith("✗") == (tables.labelled and row["called"] != row["y_true"])


def test_patients_without_a_prediction_are_named_with_the_reason(tables):
    (row,) = applied.without_table(tables).rows
    assert row[0].text == "HB00002" and row[1].text == f"no file of patient HB00002 {HOSTILE}"


def test_every_model_is_listed_and_dashed_where_it_cannot(tables):
    table = applied.models_table(tables)
    first, second = ({t: c.text for t, c in zip(table.columns, row, strict=True)} for row in table.rows[:2])
    titles = tables.titles
    assert len(table.rows) == 40 and len(titles) == len(MODELS)
    assert first[titles["image"]] == first[titles["cross_attention"]] == second[titles["expression"]] == "–"
    assert first[titles["expression"]] in CLASSES and first[titles["majority"]] in CLASSES


def test_drift_is_counted_and_flagged_values_come_first(tables):
    table, left_out = applied.drift_table(tables.drift)
    n = int(tables.drift["flagged"].sum())
    assert left_out == 0 and [row[5].text for row in table.rows[: n + 1]] == ["outside"] * n + ["within"]
    grid = applied.drift_by_site(tables.drift)
    image = tables.drift[(tables.drift["modality"] == "image") & (tables.drift["site"] == "ward 1")]
    assert grid.rows[0][3].text == f"{image['flagged'].sum()} of 8"
    assert f"{n} of 72 compared values" in applied_wording.summary(tables, trained_on="demo", level=0.9)[2]
    assert len(applied.named_drifts(tables.drift)) <= applied.NAMED_DRIFTS
    assert applied.named_drifts(tables.drift.assign(flagged=True, says="far"))[0] == "image 0 (all sites): far"
    within = dataclasses.replace(tables, drift=tables.drift.assign(flagged=False))
    assert "All 72 compared values" in applied_wording.summary(within, trained_on="demo", level=0.9)[2]


def test_what_does_not_fit_comes_first(inputs, tmp_path):
    content = read_json(inputs.compatibility)
    refused = {"what": "encoder", "status": "refused", "says": "another network"}
    write_json(tmp_path / "c.json", {**content, "checks": [*content["checks"], refused]})
    tables = read_applied(dataclasses.replace(inputs, compatibility=tmp_path / "c.json"))
    assert [row[1].text for row in applied.compatibility_table(tables.compatibility).rows] == [
        "refused", "warning", "compatible",
    ]  # fmt: skip
    assert applied_wording.summary(tables, trained_on="demo", level=0.9)[1] == (
        "The bundle of demo is not compatible with this cohort: encoder."
    )


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.78, 0.98, "the interval includes the stated coverage"),
        (0.5, 0.85, "less often than stated"),
        (0.93, 1.0, "more often than stated"),
    ],
)
def test_coverage_in_words_follows_the_interval(low, high, words):
    row = {"level": 0.9, "coverage": 0.9, "ci_low": low, "ci_high": high, "n": 40, "mean_set_size": 1.1}
    assert words in applied_wording.covered(row)


def test_a_cohort_with_one_model_and_no_calls(inputs, tmp_path):
    predictions = read_table(inputs.predictions)
    only = predictions[predictions["model"] == "image"].assign(
        status="cannot", called=None, set=None, reason="no slide"
    )
    write_table(tmp_path / "p.parquet", only)
    write_table(tmp_path / "none.parquet", read_table(inputs.coverage).head(0))
    out = tmp_path / "report.html"
    changes = {"predictions": tmp_path / "p.parquet", "coverage": tmp_path / "none.parquet"}
    applied.write_applied(dataclasses.replace(inputs, **changes), out)
    assert "0 of 40 patients have a prediction; 40 could not be predicted" in out.read_text(encoding="utf-8")
