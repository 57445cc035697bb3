"""The section on site and other confounders, its figure, its place in the JSON, its paths, and no name of a site in it."""

import dataclasses
import json
import runpy
from types import SimpleNamespace

import pytest
import yaml
from confounding_data import answers, cohort, pooled_metrics, write_confounding
from report_data import write_run
from report_text import text_of
from running import ROOT

from histoweave.errors import InputError
from histoweave.pages.kit.style import style
from histoweave.pages.report.as_json import report_content
from histoweave.pages.report.doubts import confounding as confounding_views
from histoweave.pages.report.doubts.still import NOTHING, confounding
from histoweave.pages.report.figures import draw_figures
from histoweave.pages.report.inputs import read_tables
from histoweave.pages.report.page import findings, write_report
from histoweave.privacy.share import cohort_pseudonyms, shared_inputs
from histoweave.settings.evaluation import Evaluation
from histoweave.storage.files import read_table, write_json, write_table
from histoweave.wiring import tissue as wiring
from histoweave.wiring.confounding import ConfoundingWiring
from histoweave.wiring.privacy import check_columns
from histoweave.wiring.run import load
from histoweave.wiring.sites import SiteWiring


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    made = write_run(tmp_path_factory.mktemp("run"), n_patients=40)
    write_confounding(made.confounding, models=made.models)  # nothing is left within sites
    return made


def test_a_warning_stands_on_top_of_its_section(inputs):
    tables = read_tables(inputs)
    shown = confounding_views.views(tables)
    assert len(shown["warnings"]) == 1 and "the site may explain its result" in shown["warnings"][0]
    assert shown["warnings"][0] in findings(tables)
    assert len(shown["answers"].rows) == len(tables.confounding)
    assert shown["answers"].rows[0][3].text == "0.720" and shown["answers"].rows[-1][3].text == "–"


def test_the_page_has_it_and_a_run_without_says_so(inputs, tmp_path):
    draw_figures(tables=read_tables(inputs), out_dir=inputs.figures)
    write_report(inputs, tmp_path / "with.html")
    without = dataclasses.replace(inputs, confounding=None, figures=tmp_path / "none")
    page, bare = (tmp_path / "with.html").read_text(), text_of(without, tmp_path / "without.html")
    section = page.split('<section id="confounding"')[1].split("</section>")[0]
    assert "the site may explain its result" in section.split("<p>")[1] and "<svg" in section
    bare = bare.split('<section id="confounding"')[1].split("</section>")[0]
    assert "Not shown" in bare and "explained" not in bare


def test_the_figure_shows_each_model_three_times_at_most(inputs):
    tables = read_tables(inputs)
    n_models = sum(bool(model.modalities) for model in tables.models)
    with style():
        axes = confounding(tables).axes[0]
        assert axes.get_yticklabels()[0].get_text() == "site alone"
        assert len(axes.get_yticklabels()) == n_models + 1
        points = [line for line in axes.lines if line.get_marker() not in ("None", None, "")]
        assert len(points) == 1 + 2 * n_models + 1  # the site, pooled and within, and one model on whole sites
        for nothing in (None, tables.confounding.iloc[-1:], tables.confounding.head(0)):
            figure = confounding(dataclasses.replace(tables, confounding=nothing))
            assert figure.texts[0].get_text() == NOTHING


def test_the_json_holds_rows_and_verdicts(inputs):
    content = report_content(inputs, read_tables(inputs))
    assert [verdict["status"] for verdict in content["confounding_verdicts"]] == ["explained", "unknown"]
    assert content["confounding"][0]["question"] == "label_from_column"
    json.dumps(content, allow_nan=False)


def test_no_site_is_named(inputs, tmp_path, monkeypatch):
    monkeypatch.setenv("HISTOWEAVE_PSEUDONYM_KEY", "a key of the hospital, kept secret")
    params = {"key_env": "HISTOWEAVE_PSEUDONYM_KEY", "key": "x", "columns": ["site"]}
    names = cohort_pseudonyms(params, patients=inputs.patients, slides=inputs.slides)
    hidden = read_tables(shared_inputs(inputs, names))
    given = read_tables(inputs)
    columns = ["column", "question", "model", "n", "levels", "reason"]
    assert hidden.confounding[columns].equals(given.confounding[columns])
    assert confounding_views.summary(hidden) == confounding_views.summary(given)
    text = json.dumps(confounding_views.views(hidden), default=str)
    assert not [site for site in read_table(inputs.patients)["site"].unique() if f"{site} " in text]


class Inputs(dict):
    """Named files of a job, by key and by attribute."""

    __getattr__ = dict.__getitem__


def wired(monkeypatch, **evaluation):
    monkeypatch.chdir(ROOT)
    raw = yaml.safe_load((ROOT / "config/demo/config.yaml").read_text())
    raw["evaluation"] = {**raw.get("evaluation", {}), **evaluation}
    config, tables = load(raw, check_paths=False)
    asks = wiring.Wiring(config, tables)
    return ConfoundingWiring(config, asks, SiteWiring(config, asks)), config, tables


def test_the_rule_reads_what_the_cohort_has(monkeypatch):
    found = wired(monkeypatch, confounders=["age"])[0].inputs("demo")
    assert set(found) == {
        "predictions",
        "patients",
        "folds",
        "folds_json",
        "whole_sites",
        "slides",
        "summary",
        "expression",
    }


def test_a_column_that_nobody_has_is_refused(monkeypatch):
    with pytest.raises(InputError, match=r"column 'agee', which evaluation.confounders names, is missing.*age"):
        wired(monkeypatch, confounders=["agee"])


def test_a_column_called_question_cannot_be_hidden(monkeypatch):
    _, config, tables = wired(monkeypatch)
    of = next(iter(tables))
    patients = tables[of].patients.assign(question="yes")
    changed = {of: dataclasses.replace(tables[of], patients=patients)}
    cells = type("Cells", (), {"cohorts": []})()
    privacy = config.privacy.model_copy(update={"pseudonyms": True, "columns": ["question"]})
    with pytest.raises(InputError, match="'question', which tables of results have too"):
        check_columns(privacy, changed, cells)


def test_the_script_makes_the_table(tmp_path):
    predictions, patients, folds = cohort(n=40, by_site=0.35, sees_site=9.0)
    paths = {name: tmp_path / f"{name}.parquet" for name in ("predictions", "patients", "folds")}
    for path, table in zip(paths.values(), (predictions, patients, folds), strict=True):
        write_table(path, table)
    write_table(tmp_path / "sites.parquet", pooled_metrics(predictions).assign(n=40))
    write_json(tmp_path / "folds.json", {"group_by": "patient"})
    script = runpy.run_path(str(ROOT / "workflow" / "scripts" / "confounding.py"))
    files = Inputs(paths | {"folds_json": tmp_path / "folds.json", "whole_sites": [tmp_path / "sites.parquet"]})
    script["main"](
        SimpleNamespace(
            log=[str(tmp_path / "log")],
            input=files,
            output=[tmp_path / "confounding.parquet"],
            params=SimpleNamespace(
                classes=["neg", "pos"],
                models=["majority", "image", "expression", "concat"],
                modalities=["image", "expression"],
                settings=Evaluation(bootstrap=1000).model_dump(exclude={"permutations"}),
                seed=1,
            ),
        )
    )
    table = read_table(tmp_path / "confounding.parquet")
    assert list(table.columns) == list(answers(["image"]).columns)
    assert (table["question"] == "label_whole_columns").sum() == 3
