"""What the report reads of the later stages, and which pages it leads to, by the demo's configuration."""

import pytest
import yaml
from running import ROOT

from histoweave import wiring
from histoweave.apply_wiring import ApplyWiring
from histoweave.cell_wiring import CellWiring, check_cells
from histoweave.decide_wiring import DecideWiring
from histoweave.explain_wiring import ExplainWiring
from histoweave.report import decide_views, explain_views
from histoweave.report.inputs import of_part
from histoweave.report_wiring import ReportWiring


def report_of(raw):
    config, tables = wiring.load(raw, check_paths=False)
    paths = wiring.Wiring(config, tables)
    cells = CellWiring(config, check_cells(config, check_paths=False), {})
    explain = ExplainWiring(paths, cells)
    return ReportWiring(paths, explain, DecideWiring(config, paths), cells, ApplyWiring(config, paths))


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
    config, tables = wiring.load(raw | {"decide": {"learning_curve": {"models": []}}}, check_paths=False)
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
