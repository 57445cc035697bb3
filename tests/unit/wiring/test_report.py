"""What the report reads of the later stages, and which pages it leads to, by the demo's configuration."""

import pytest
import yaml
from report_wiring import report_of
from running import ROOT

from histoweave.pages.report.decisions import tables as decide_views
from histoweave.pages.report.inputs import of_part
from histoweave.pages.report.why import tables as explain_views
from histoweave.wiring import tissue as wiring
from histoweave.wiring.decide import DecideWiring
from histoweave.wiring.run import load


@pytest.fixture
def raw(monkeypatch):
    monkeypatch.chdir(ROOT)
    return yaml.safe_load((ROOT / "config/demo/config.yaml").read_text())


def test_the_sections_find_their_tables(raw):
    inputs = {
        name: [files] if isinstance(files, str) else files for name, files in report_of(raw).inputs("demo").items()
    }
    decide = of_part("decide", inputs)
    assert set(decide_views.TABLES) <= set(decide) and "calibrated" not in decide
    explained = of_part("explain", inputs)
    assert set(explain_views.TABLES) - set(explained) == {"concepts", "concept_gene_sets"}
    root = "results/demo/explain/cross_attention"
    assert [str(path) for path in explained["stability"]] == [f"{root}/fold{k}/stability.parquet" for k in range(5)]
    assert inputs["metrics"] == ["results/demo/metrics.parquet"]
    assert inputs["overlay_indexes"] and all(path.startswith(f"{root}/overlays/") for path in inputs["overlay_indexes"])


def test_no_learning_curve_is_planned_where_none_is_asked_for(raw):
    asked = report_of(raw | {"decide": {"learning_curve": {"models": []}}})
    inputs = asked.inputs("demo")
    assert "decide_calibration" in inputs and not [name for name in inputs if "learning" in name]
    config, tables = load(raw | {"decide": {"learning_curve": {"models": []}}}, check_paths=False)
    decide = DecideWiring(config, wiring.Wiring(config, tables))
    assert decide.learning_models("demo") == [] and not [path for path in decide.targets() if "learning" in path]
    assert [name for name in report_of(raw).inputs("demo") if "learning" in name]


def test_links_are_seen_from_the_report(raw):
    report = report_of(raw)
    assert report.links("demo") == {
        "Concepts of lab_a": "../lab_a/concepts.html",
        "Applied to hospital_b": "../hospital_b/applied/demo/report.html",
    }
    assert report.overlays("demo") == "results/demo/explain/cross_attention/overlays"


def test_nothing_is_shown_of_what_is_not_explained(raw):
    report = report_of(raw | {"explain": {"models": []}})
    inputs = report.inputs("demo")
    assert not [name for name in inputs if name.startswith("explain")] and inputs["overlay_indexes"] == []
    assert report.overlays("demo") == ""
