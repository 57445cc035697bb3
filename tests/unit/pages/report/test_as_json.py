"""The report for programs: complete, plain, the same each time, and free of what differs between equal runs."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from report_data import write_run

from histoweave.evaluation.conclusion import KINDS
from histoweave.pages.kit.json_values import rows
from histoweave.pages.report.as_json import RESULTS, SCHEMA_VERSION, report_content, write_report_json
from histoweave.pages.report.conclusion import sentences
from histoweave.pages.report.inputs import read_tables
from histoweave.storage.files import read_table

KEYS = {
    "schema", "schema_version", "cohort", "simulated", "pseudonyms", "classes", "models", "patients", "slides", "folds",
    "conclusion", "key_numbers", "findings", "config", "versions", "code", "inputs_sha256", "explain", "decide",
    "confounding_verdicts", "class_counts", *RESULTS,
}  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def content(inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "report.json"
    write_report_json(inputs, out)
    return json.loads(out.read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_keys_are_those_that_are_documented(content):
    assert set(content) == KEYS and (content["schema"], content["schema_version"]) == ("histoweave.report", 2)
    assert SCHEMA_VERSION == 2


def test_rows_are_those_of_the_tables(inputs, content):
    for name in RESULTS:
        table = read_table(getattr(inputs, name))
        assert len(content[name]) == len(table) and set(content[name][0]) == set(table.columns), name
    metrics = read_table(inputs.metrics)
    for found, row in zip(content["metrics"], metrics.to_dict("records"), strict=True):
        undefined = row["estimate"] != row["estimate"]
        assert found["estimate"] is None if undefined else found["estimate"] == row["estimate"]


def test_counts_findings_and_provenance(inputs, content):
    assert content["patients"] == {"given": 60, "included": 60, "complete": 58}
    refused = {"no_mpp": 1, "unreadable": 1, "unreadable_tiles": 1}
    assert content["slides"] == {"given": 60, "usable": 57, "refused": refused}
    assert len(content["key_numbers"]) == 5 and any("AUROC" in finding for finding in content["findings"])
    assert content["models"][-1]["modalities"] == ["expression", "image"]
    assert content["inputs_sha256"] == inputs.input_sha256 and content["versions"]["histoweave"]


def test_the_conclusion_is_that_of_the_page(inputs, content):
    found, tables = content["conclusion"], read_tables(inputs)
    assert found["kind"] in KINDS and found["sentences"] == sentences(tables) and found["patients"] == 58
    assert set(found["better_than_chance"]) <= set(tables.titles) and found["looked_at"] == len(tables.models) - 1
    assert sum(found["classes"].values()) == 58
    numbers = found["numbers"]
    assert {"single", "fused", "difference"} <= set(numbers)
    assert numbers["difference"]["estimate"] == pytest.approx(
        numbers["fused"]["estimate"] - numbers["single"]["estimate"]
    )


def test_times_of_the_run_are_not_in_it(inputs, content):
    without = dataclasses.replace(inputs, benchmarks=None, slide_indexes=())
    again = report_content(without, read_tables(without))
    assert json.loads(json.dumps(again)) == content
    assert "seconds" not in json.dumps(content)


def test_parts_that_a_run_does_not_have_are_null(tmp_path):
    inputs = write_run(tmp_path, optional=False, models=("majority", "image"))
    content = report_content(inputs, read_tables(inputs))
    assert content["slides"] is None and content["control_summary"] is None and content["truth"] is None
    assert content["simulated"] is False and content["modality_use"] == []
    json.dumps(content, allow_nan=False)


def test_lists_and_structures_become_plain():
    cells = np.array([{"gene": "ESR1", "value": np.float32(np.nan)}], dtype=object)
    table = pd.DataFrame({"n": np.array([3], np.int64), "top": [cells], "covered": [np.True_]})
    assert rows(table) == [{"n": 3, "top": [{"gene": "ESR1", "value": None}], "covered": True}]
    assert rows(None) is None
