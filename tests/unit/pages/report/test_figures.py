"""Still figures of explanations and decisions: they draw what the tables hold."""

from __future__ import annotations

import dataclasses
import html
import re
import warnings
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from report_data import write_run

from histoweave.fusion import catalog
from histoweave.pages.kit.style import WIDTH_IN, canvas, marks, message, save_svg, style
from histoweave.pages.report.decisions import interactive as plots_decide
from histoweave.pages.report.decisions import still as figures_decide
from histoweave.pages.report.decisions.prepared import power_law
from histoweave.pages.report.figures import FILES
from histoweave.pages.report.inputs import read_tables
from histoweave.pages.report.models import main_fusion
from histoweave.pages.report.why import interactive as plots_explain
from histoweave.pages.report.why import still as figures_explain
from histoweave.pages.report.why.prepared import SHOWN_DRIVERS


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return read_tables(write_run(tmp_path_factory.mktemp("run"), n_patients=40))


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return read_tables(write_run(tmp_path_factory.mktemp("bare"), n_patients=40, optional=False))


def points(axes, marker="o"):
    """(x, y) of every marker of `axes`."""
    drawn = [line.get_xydata() for line in axes.lines if line.get_marker() == marker and line.get_linestyle() == "None"]
    return np.concatenate(drawn)


def texts(figure):
    return " ".join(
        text.get_text().replace("\n", " ") for text in figure.findobj(lambda each: hasattr(each, "get_text"))
    )


def test_genes_are_those_of_the_interactive_figure(tables):
    still, interactive = figures_explain.genes(tables), plots_explain.genes(tables)
    assert len(still.axes) == len(interactive) == len(tables.classes)
    for axes, plot in zip(still.axes, interactive, strict=True):
        trace = plot.figure.data[0]
        assert axes.get_title() == plot.title
        named = [html.unescape(label.replace("<br>", " ")) for label in trace.y]
        assert [label.get_text() for label in axes.get_yticklabels()] == named
        np.testing.assert_allclose(points(axes)[:, 0], trace.x, atol=5e-5)
        assert len(trace.x) <= SHOWN_DRIVERS


def test_curves_are_means_over_patients(tables):
    found = tables.explain["faithfulness"]
    means = found.groupby(["modality", "direction", "order", "share"])["score"].mean()
    figure = figures_explain.faithfulness(tables)
    for axes, (modality, direction) in zip(figure.axes, sorted({each[:2] for each in means.index}), strict=True):
        for line in axes.lines:
            if len(line.get_xdata()):
                ends = [means.loc[(modality, direction, order)] for order in found["order"].unique()
                        if (modality, direction, order) in means.index]  # fmt: skip
                assert any(np.allclose(line.get_ydata(), end) for end in ends)
    assert "Tiles removed" in texts(figure) and "by attention" in texts(figure)


def test_tests_that_failed_are_crossed(tables):
    found = tables.explain["tests"]
    axes = figures_explain.tests(tables).axes[0]
    np.testing.assert_allclose(points(axes)[:, 0], found.loc[found["passed"], "estimate"])
    np.testing.assert_allclose(points(axes, "X")[:, 0], found.loc[~found["passed"], "estimate"])


def test_calibration_shows_both_states_of_every_model(tables):
    figure = figures_decide.calibration(tables)
    shown = [axes for axes in figure.axes if axes.lines]  # the last panel of an odd number is empty
    for axes, plot in zip(shown, plots_decide.calibration(tables), strict=True):
        _, *states = axes.lines
        for line, trace in zip(states, plot.figure.data, strict=True):
            np.testing.assert_allclose(line.get_xydata(), np.column_stack([trace.x, trace.y]), atol=5e-5)


def test_sets_groups_and_curves_are_those_of_the_tables(tables):
    main = main_fusion(tables)
    conformal = tables.decide["conformal"]
    conformal = conformal[(conformal["model"] == main) & (conformal["kind"] == "marginal")]
    for axes, (promised, rows) in zip(figures_decide.conformal(tables).axes, conformal.groupby("level"), strict=True):
        np.testing.assert_allclose(points(axes)[:, 0], rows["coverage"])
        assert list(axes.lines[-1].get_xdata()) == [promised, promised]
    groups = tables.decide["subgroups"].query("metric == 'auroc'")
    groups = groups[groups["model"] == main]
    figure = figures_decide.subgroups(tables)
    np.testing.assert_allclose(points(figure.axes[0])[:, 0], groups["estimate"])
    assert f"site ZA (n = {groups['n'].iloc[0]})" in texts(figure)
    risk = tables.decide["risk_coverage"].sort_values("coverage")
    lines = figures_decide.selective(tables).axes[0].lines
    for line, model in zip(lines, tables.titles, strict=True):
        np.testing.assert_allclose(line.get_ydata(), risk.loc[risk["model"] == model, "risk"])
    assert len(figures_decide.decision_curve(tables).axes) == tables.decide["decision_curve"]["class"].nunique()


def test_of_many_groups_the_largest_are_shown(tables):
    groups = tables.decide["subgroups"].query("metric == 'auroc'").head(1)
    many = groups.loc[groups.index.repeat(50)].reset_index(drop=True).assign(n=range(50))
    many["group"] = [f"G{n}" for n in range(50)]
    figure = figures_decide.subgroups(dataclasses.replace(tables, decide={"subgroups": many}))
    assert len(points(figure.axes[0], figure.axes[0].lines[1].get_marker())) == figures_decide.MAX_ROWS
    assert "G49 (n = 49)" in texts(figure) and "G19 (n = 19)" not in texts(figure)


def test_the_learning_curve_goes_on_as_far_as_was_asked(tables):
    fits = tables.decide["learning_fit"].query("metric == 'auroc'")
    curves = [line for line in figures_decide.learning(tables).axes[0].lines if len(line.get_xdata()) == 60]
    assert curves and {round(line.get_xdata()[-1]) for line in curves} == {
        round(end) for end in fits["n_now"] + fits["n_more"]
    }
    fit = fits.dropna(subset=["a"]).iloc[0]
    n, score = power_law(fit, start=10)
    assert score[-1] == pytest.approx(fit["a"] - fit["b"] * n[-1] ** -fit["c"])
    unfitted = fit.copy()
    unfitted["a"] = np.nan
    assert power_law(unfitted, start=10) is None


def test_no_label_breaks_a_file(tmp_path):
    """Whatever stands in a label, XML can be read, and good figures are what Matplotlib itself writes."""
    labels = [chr(code) for code in (*range(32), 127, 0x85, 0xFFFE, 0xFFFF)] + ["ER+; <b>&'\"", "µ 雪 𝛼"]
    with style(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that the font does not have
        figure, axes = canvas(3)
        axes[0, 0].set_xticks(range(len(labels)), [f"a{label}b" for label in labels])
        axes[0, 0].set_title("\x00\x1b[2J")
        save_svg(figure, tmp_path / "all.svg")
        good = message("ER+; <b>&'\" µ 雪")
        save_svg(good, tmp_path / "good.svg")
        good.savefig(tmp_path / "plain.svg", metadata={"Date": None, "Creator": None})
    shown = "".join(ElementTree.parse(tmp_path / "all.svg").getroot().itertext())
    assert "a\ufffdb" in shown and "µ 雪 𝛼" in shown and "\x1b" not in shown
    assert (tmp_path / "good.svg").read_bytes() == (tmp_path / "plain.svg").read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_a_run_without_the_part_says_so_in_words(bare, name):
    figure = FILES[name](bare)
    assert not figure.axes and re.search(r"\b([Nn]o|Nothing)\b", texts(figure))


@pytest.mark.parametrize("name", FILES)
def test_no_text_leaves_the_figure_or_lies_on_another(tables, name):
    with style():
        figure = FILES[name](tables)
        figure.draw_without_rendering()
        box = figure.bbox
        assert figure.get_size_inches()[0] == WIDTH_IN
        for axes in figure.axes:
            labels = [label for label in axes.get_yticklabels() if label.get_text() and label.get_visible()]
            boxes = sorted((label.get_window_extent() for label in labels), key=lambda each: each.y0)
            # A tick beyond the axis has a label that nobody sees.
            boxes = [each for each in boxes if axes.bbox.y0 <= (each.y0 + each.y1) / 2 <= axes.bbox.y1]
            assert all(each.x0 >= box.x0 - 1 and each.y1 <= box.y1 + 1 for each in boxes)
            assert all(one.y1 <= other.y0 + 2 for one, other in pairwise(boxes))
            assert axes.title.get_window_extent().x1 <= box.x1 + 1


def test_every_model_of_the_catalog_has_a_look_of_its_own():
    looks = list(marks(tuple(map(catalog.get, catalog.names()))).values())
    assert len({(look.colour, look.line) for look in looks}) == len(looks)
    assert len({(look.colour, look.marker) for look in looks}) == len(looks)
