"""Slides, explanations and decisions on the page: what is shown is what the tables and files say."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from report_data import HOSTILE, write_run
from report_parts_data import EDGE_LV0, HOSTILE_GENE, SIZE_LV0
from report_text import text_of, text_with_figures

from histoweave.pages.kit import csp
from histoweave.pages.kit import interactive as plots
from histoweave.pages.kit.plotly_js import plotly_hash, plotly_js
from histoweave.pages.report.decisions import tables as decide_views
from histoweave.pages.report.figures import PLOTS, draw_plots
from histoweave.pages.report.inputs import ReportInputs, read_tables
from histoweave.pages.report.performance import curves as views_curves
from histoweave.pages.report.performance import operating as operating_views
from histoweave.pages.report.performance import tables as views
from histoweave.pages.report.pictures import SlidePicture, contour_path, slide_pictures, webp
from histoweave.pages.report.why import tables as explain_views
from histoweave.storage.files import read_json, write_json, write_table


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> ReportInputs:
    return write_run(tmp_path_factory.mktemp("run"), n_patients=24)


@pytest.fixture(scope="module")
def tables(run):
    return read_tables(run)


def _texts(table) -> list[tuple[str, ...]]:
    return [tuple(cell.text for cell in row) for row in table.rows]


def test_plotly_of_the_page_is_the_packages_own():
    import gzip

    from plotly.offline import get_plotlyjs

    source = gzip.decompress(base64.b64decode(plotly_js())).decode()
    assert source == get_plotlyjs() and plotly_hash() == csp.csp_hash(source)


def test_hash_of_a_script_is_that_of_the_standard():
    # Example of the W3C's Content Security Policy Level 3, section 8.
    assert csp.csp_hash("alert('Hello, world.');") == "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"


def test_a_picture_keeps_its_bytes_or_takes_the_smallest_size():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 600, 3), dtype=np.uint8))
    uri, size = webp(noise, most_bytes=48_000)
    assert size == (149, 224)
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as picture:
        assert picture.format == "WEBP" and picture.size == size
    assert webp(Image.new("RGB", (900, 600), "pink"), most_bytes=48_000)[1] == (768, 512)


def test_contours_are_in_px_of_the_picture(tmp_path):
    ring = [[0, 0], [1000, 0], [1000, 500], [500, 500.1], [0, 500], [0, 0]]
    hole = [[100, 100], [100, 200], [200, 200], [100, 100]]
    write_json(tmp_path / "a.geojson", {"features": [{"geometry": {"coordinates": [ring, hole]}}]})
    path = contour_path(tmp_path / "a.geojson", scale=(0.1, 0.2))
    corners = [[tuple(map(float, p.split())) for p in part.split("L")] for part in re.findall(r"M([^Z]+)Z", path)]
    assert {frozenset(part) for part in corners} == {
        frozenset([(0, 0), (100, 0), (100, 100), (0, 100)]), frozenset([(10, 20), (10, 40), (20, 40)]),
    }  # fmt: skip


def test_only_views_of_slides_have_contours_and_attribution(run, tables):
    status = dict(zip(tables.slides["slide"], tables.slides["status"], strict=True))
    pictures = {p.slide: p for p in slide_pictures(status, thumbnails=run.thumbnails, overlays=run.overlays)}
    refused, good = pictures["TCGA-ZA-0001-01Z-00-DX1"], pictures["TCGA-ZA-0002-01Z-00-DX1"]
    assert refused.status == "unreadable" and not refused.contours and not refused.overlay and refused.size_lv0 is None
    assert good.size_lv0 == SIZE_LV0 and good.edge_lv0 == EDGE_LV0 and good.contours and good.overlay
    numbers = np.array(re.findall(r"[\d.]+", good.contours), dtype=float).reshape(-1, 2)
    rings = read_json(run.thumbnails[good.slide].with_suffix(".geojson"))["features"][0]["geometry"]["coordinates"]
    expected = np.array(rings[0]) / SIZE_LV0 * (good.width_px, good.height_px)
    np.testing.assert_allclose([numbers.min(0), numbers.max(0)], [expected.min(0), expected.max(0)], atol=0.6)


def test_every_figure_is_drawn_from_names_of_colours(tables):
    groups = draw_plots(tables)
    assert list(groups) == list(PLOTS) and all(groups.values())
    text = str(plots.as_json(groups))
    assert not re.search(r"#[0-9a-fA-F]{6}\b", text) and "<" not in text
    found = json.loads(text)
    assert set(found) == {f"{name}-{i}" for name, group in groups.items() for i in range(len(group))}
    assert all(plot.title and plot.alt for group in groups.values() for plot in group)
    assert str(plots.as_json(draw_plots(tables))) == text


def test_figures_say_what_the_tables_say(tables):
    groups = draw_plots(tables)
    auroc = groups["metrics"][0].figure.data[0]
    rows = tables.estimates("auroc")
    np.testing.assert_allclose(auroc.x, rows["estimate"], atol=1e-4)
    np.testing.assert_allclose(np.array(auroc.x) + auroc.error_x.array, rows["ci_high"], atol=2e-4)
    genes = tables.explain["genes"]
    first = genes[genes["class"] == "Luminal"].sort_values("rank").head(15)
    np.testing.assert_allclose(groups["genes"][0].figure.data[0].x, first["mean"], atol=1e-4)
    removed = next(plot for plot in groups["faithfulness"] if plot.title == "Tiles removed")
    curve = next(trace for trace in removed.figure.data if trace.name == "attention")
    faith = tables.explain["faithfulness"].query(
        "modality == 'image' and direction == 'deletion' and order == 'attention'"
    )
    np.testing.assert_allclose(curve.y, faith.groupby("share")["score"].mean(), atol=1e-4)
    assert [plot.title for plot in groups["conformal"]] == ["Stated coverage 80%", "Stated coverage 90%"]
    # A curve that could not be fitted is not drawn: the first model's a is unknown.
    n_models = len(tables.models)
    assert len(groups["learning"][0].figure.data) == 2 * n_models - 1


def test_text_of_users_is_no_markup_in_a_figure():
    assert plots.text("<b>a & b</b>") == "&lt;b&gt;a &amp; b&lt;/b&gt;"
    assert plots.text("one two three", width=8) == "one two<br>three"
    assert plots.rounded([1 / 3, np.nan, np.inf]) == [0.3333, None, None]


def test_tests_of_the_explanation_stand_in_words(tables):
    shown = explain_views.views(tables)
    assert len(shown["explain_tests"].rows) == 5
    assert [row[-1] for row in _texts(shown["explain_tests"])].count("failed ✗") == 2
    assert shown["explain_says"] == tables.explain["tests"]["says"].tolist()
    summary = explain_views.summary(tables)
    assert summary == [
        "The explanation fails 1 of its 4 tests.",
        "Two folds' models disagree on which genes matter.",
        "Attention is not faithful here: removing the tiles it looks at most is no better than random order.",
    ]


def test_drivers_are_listed_by_class_and_rank(tables):
    table = explain_views.views(tables)["genes_table"]
    assert table.columns == ("Class", "Rank", "Gene", "Mean attribution", "Patients")
    order = [(row[0].text, row[1].sort) for row in table.rows]
    assert order == sorted(order) and max(rank for _, rank in order) == explain_views.MAX_DRIVERS


def test_morphology_is_a_sentence_a_strip_and_a_table(tables):
    shown = explain_views.views(tables)
    strips, found = shown["morphology_strips"], tables.explain["morphology"]
    assert [strip.title for strip in strips] == list(tables.classes)
    assert all(strip.says.startswith(f"{strip.title}: ") for strip in strips)
    tile, row = strips[0].tiles[0], tables.explain["class_tiles"].iloc[0]
    assert tile.alt == f"Tile of patient {row['patient']}, slide {row['slide']}, attribution +0.50"
    assert base64.b64decode(tile.uri.partition(",")[2]) == row["picture"]
    cells = {(line[0].text, line[2].text): line for line in shown["morphology_table"].rows}
    assert len(cells) == len(found)
    lost, kept = (cells[tables.classes[0], title] for title in ("Median area of nuclei", "Eosin"))
    assert lost[4].text == lost[6].text == "–" and lost[-1].text.startswith("not measured")
    eosin = found[(found["class"] == tables.classes[0]) & (found["measure"] == "eosin_od")].iloc[0]
    # The page has no negative zero.
    assert (kept[4].text, kept[5].text) == (f"{eosin['difference']:+.3f}", f"{round(eosin['mean'], 2) + 0.0:+.2f}")


def test_strips_of_five_classes_take_less_than_half_a_megabyte(tmp_path):
    """With pictures of noise, which need the most bytes."""
    inputs = write_run(tmp_path, classes=("A", "B", "C", "D", "E"), n_patients=70)
    strips = explain_views.views(read_tables(inputs))["morphology_strips"]
    assert [len(strip.tiles) for strip in strips] == [12] * 5
    assert 0 < sum(len(tile.uri) + len(tile.alt) for strip in strips for tile in strip.tiles) < 500_000


def test_browser_places_tiles_on_their_slides(run, tables):
    picture = SlidePicture("TCGA-ZA-0004-01Z-00-DX1", "ok", "", 100, 50, size_lv0=(16000, 8000), edge_lv0=400)
    entries = {entry["patient"]: entry for entry in explain_views.browser(tables, [picture])}
    assert list(entries) == tables.explain["patients"]["patient"].tolist()
    row = tables.explain["patients"].set_index("patient").loc["TCGA-ZA-0004"]
    tile = row["top_tiles"][0]
    expected = [tile["x_lv0"] / 16000, tile["y_lv0"] / 8000, 400 / 16000, 400 / 8000, tile["score"]]
    slide, *numbers = entries["TCGA-ZA-0004"]["top"][0]
    assert slide == picture.slide
    np.testing.assert_allclose(numbers, expected, atol=1e-4)
    assert len(entries["TCGA-ZA-0005"]["top"][0]) == 2  # no view of that slide on the page
    without_image, without_rna = entries["TCGA-ZA-0001"], entries["TCGA-ZA-0002"]
    assert without_image["top"] == without_image["cross"] == without_rna["genes"] == without_rna["tokens"] == []
    assert len(entries["TCGA-ZA-0004"]["cross"]) == len(entries["TCGA-ZA-0004"]["tokens"]) == 3


def test_decisions_as_tables(tables):
    shown = decide_views.views(tables)
    calibration = shown["calibration"]
    assert calibration.columns == ("Model", "Patients", "ECE", "Brier", "log loss")
    cell = calibration.rows[0][2]
    row = tables.decide["calibration"].iloc[0]
    assert cell.text == "0.200 → 0.150"
    assert cell.small == f"-0.050 [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
    assert {row[3] for row in _texts(shown["conformal"])} >= {"all patients", "class Luminal", "site ZA"}
    assert {row[2] for row in _texts(shown["conformal"])} == {"one for all classes", "one per class"}
    assert {row[2] for row in _texts(shown["decision_curve"])} == {f"{i / 10:.2f}" for i in range(1, 10)}
    assert shown["selective"].columns[2:] == (
        "Area under the risk-coverage curve",
        "Error rate at 80% coverage",
    )
    assert len(shown["subgroup_grid"].rows) == 7 and len(shown["learning_says"]) == len(tables.conclusion.better)
    assert decide_views.summary(tables) == [tables.decide["learning_fit"].iloc[-1]["says"]]
    assert shown["says"] == {"calibration": ["A finding on calibration."]}


def test_a_run_may_have_some_of_the_tables_only(tmp_path):
    inputs = write_run(tmp_path, optional=False, models=("majority", "image"))
    write_table(tmp_path / "learning.parquet", pd.DataFrame({
        "model": ["image"], "n_train": [40.0], "share": [1.0], "repeat": [0], "metric": ["auroc"], "estimate": [0.7],
        "ci_low": [np.nan], "ci_high": [np.nan],
    }))  # fmt: skip
    tables = read_tables(ReportInputs(**{**vars(inputs), "decide": {"learning": [tmp_path / "learning.parquet"]}}))
    shown = decide_views.views(tables)
    assert _texts(shown["learning"]) == [("image alone", "AUROC", "40", "0.700")]
    assert shown["calibration"] is None and shown["learning_says"] == [] and decide_views.summary(tables) == []
    drawn = draw_plots(tables)
    assert len(drawn["learning"]) == 1 and drawn["calibration"] == drawn["genes"] == drawn["patient"] == []
    assert explain_views.browser(tables, []) == [] and explain_views.summary(tables) == []


def test_precision_at_a_recall_is_the_best_that_keeps_it(tables):
    table = views_curves.precision_table(tables)
    model, label = table.rows[-1][1].text, table.rows[-1][0].text
    names = {title: name for name, title in tables.titles.items()}
    curve = tables.curves[(tables.curves["model"] == names[model]) & (tables.curves["class"] == label)]
    assert table.rows[-1][4].text == f"{curve.loc[curve['recall'] >= 0.8, 'precision'].max():.3f}"


def test_sensitivity_at_a_specificity_is_the_best_that_keeps_it(tables):
    table = views_curves.sensitivity_table(tables)
    model, label = table.rows[-1][1].text, table.rows[-1][0].text
    names = {title: name for name, title in tables.titles.items()}
    curve = tables.roc[(tables.roc["model"] == names[model]) & (tables.roc["class"] == label)]
    kept = curve["false_positive_rate"] <= 0.2 + 1e-9
    assert table.rows[-1][4].text == f"{curve.loc[kept, 'true_positive_rate'].max():.3f}"


def test_operating_points_in_words_and_numbers(tables):
    main = views.main_fusion(tables)
    found = tables.operating[tables.operating["model"] == main]
    (sentence,) = operating_views.says(tables)
    row = found.set_index("measure").loc["sensitivity"]
    assert f"a sensitivity of {row['estimate']:.0%} [{row['ci_low']:.0%}, {row['ci_high']:.0%}] and" in sentence
    shown = operating_views.operating_table(tables)
    assert len(shown.rows) == tables.operating["model"].nunique() - 1  # all but the majority
    assert [cell.text for cell in shown.rows[-1][6:10]] == [str(int(row[name])) for name in ("tp", "fp", "tn", "fn")]
    thresholds = operating_views.thresholds_table(tables)
    assert len(thresholds.rows) == len(tables.operating_thresholds)
    nothing = dataclasses.replace(tables, operating=found.assign(tp=0, fp=0, tn=0, fn=0, reason="no fold has any"))
    assert operating_views.says(nothing)[0].endswith("cannot be evaluated: no fold has any.")
    assert operating_views.operating_table(nothing).rows == ()
    without = dataclasses.replace(tables, operating=None, operating_thresholds=None, roc=None)
    assert operating_views.says(without) == [] and not operating_views.thresholds_table(without).rows
    assert not views_curves.sensitivity_table(without).rows


def test_classes_are_counted_once_per_patient(tables):
    counts = operating_views.class_counts(tables).set_index("class")
    included = tables.patients[tables.patients["included"]]
    assert counts["included"].to_dict() == included["label"].value_counts().to_dict()
    complete = included[included["has_image"] & included["has_expression"]]
    assert counts["scored"].to_dict() == complete["label"].value_counts().to_dict()
    assert [row[0].text for row in operating_views.class_counts_table(tables).rows] == list(tables.classes)


def test_training_table_names_the_kept_epoch(tables):
    table = views_curves.training_table(tables)
    history = tables.histories["image"][0].query("member == 0")
    kept = history[history["best"]].iloc[0]
    row = next(row for row in table.rows if row[0].text == "image alone")
    assert [cell.text for cell in row[3:5]] == [str(len(history)), str(int(kept["epoch"]))]
    assert row[6].text == f"{kept['val_loss']:.3f}"


def test_hostile_names_of_genes_stay_text(run, tables, tmp_path):
    text = text_with_figures(run, tmp_path / "report.html")
    assert HOSTILE_GENE not in text and HOSTILE not in text
    assert (
        HOSTILE_GENE
        in json.loads(re.search(r'id="explained">(.*?)</script>', text, re.DOTALL).group(1))[2]["tokens"][2]
    )


def test_the_page_says_that_there_is_no_learning_curve(run, tmp_path):
    kept = {name: files for name, files in run.decide.items() if not name.startswith("learning")}
    assert len(kept) == len(run.decide) - 2
    nothing = "a learning curve is not available"
    assert nothing in text_of(ReportInputs(**{**vars(run), "decide": kept}), tmp_path / "a.html")
    without = text_of(ReportInputs(**{**vars(run), "decide": {}}), tmp_path / "b.html")
    assert nothing not in without and "Not shown: the decision analyses were not run" in without
