"""The report: figures say what the tables say; the page is self-contained, escaped, complete, repeatable."""

from __future__ import annotations

import dataclasses
import re
import shutil
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from report_data import HOSTILE, write_run
from report_text import text_of, text_with_figures

from histoweave.errors import InputError
from histoweave.fusion import catalog
from histoweave.pages.kit.embed import inline_svg
from histoweave.pages.kit.style import THEME
from histoweave.pages.kit.versions import package_versions
from histoweave.pages.report.figures import FIGURES, FILES, draw_figures
from histoweave.pages.report.inputs import ReportInputs, read_tables
from histoweave.pages.report.page import write_report
from histoweave.pages.report.performance import tables as views
from histoweave.pages.report.pictures import MAX_THUMBNAILS
from histoweave.pages.report.run.still import fold_counts
from histoweave.pages.report.sections import SECTIONS
from histoweave.storage.files import read_table, write_table


class _Page(HTMLParser):
    """What a browser would make of the page, as far as these tests ask."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script":
            self.scripts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def running(self) -> list[dict[str, str | None]]:
        """Scripts that run; the others are data."""
        return [attributes for attributes in self.all("script") if "type" not in attributes]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> ReportInputs:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def html(run, tmp_path_factory) -> str:
    return text_with_figures(run, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def page(html) -> _Page:
    return _Page(html)


def test_figures_are_all_written_and_are_svg(run, html):
    assert {path.stem for path in Path(run.figures).iterdir()} == set(FIGURES) | set(FILES)
    for path in Path(run.figures).iterdir():
        assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_equal_tables_give_equal_bytes(run, html, tmp_path):
    again = draw_figures(tables=read_tables(run), out_dir=tmp_path / "figures")
    for name, path in again.items():
        assert path.read_bytes() == (Path(run.figures) / f"{name}.svg").read_bytes(), name
    write_report(run, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == html


def test_figures_use_theme_colours_only(run, html):
    for path in Path(run.figures).iterdir():
        assert set(re.findall(r"#[0-9a-f]{6}\b", path.read_text())) <= set(THEME), path.name
    assert not set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})\b", html))


def test_every_section_is_there_in_order_and_linked(page):
    assert [section["id"] for section in page.all("section")] == list(SECTIONS)
    links = [a["href"] for a in page.all("a")]
    assert all(f"#{name}" in links for name in SECTIONS)


def test_ids_are_unique_and_every_reference_resolves(page, html):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = re.findall(r"url\(#([^)]+)\)", html) + re.findall(r'href="#([^"]+)"', html)
    assert len(targets) > 50
    assert set(targets) <= set(ids)


def test_nothing_is_fetched_from_elsewhere(page, html):
    for tag, attributes in page.tags:
        if tag == "a":  # a link to another page of the run is followed on demand
            assert not re.match(r"[a-z]+:|//", attributes["href"])
            continue
        for name in ("src", "href", "xlink:href", "srcset", "action", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, name)
    assert "http://" not in html and "https://" not in html and "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_text_of_users_is_escaped(page, html):
    assert HOSTILE not in html
    # In the reason of a slide (twice: refused and all slides), in the flow table, and in the configuration.
    assert html.count("&lt;script&gt;alert(") >= 4
    assert len(page.running()) == 1
    assert html.count("</script>") == len(page.all("script")) == 5


def test_hostile_labels_survive_figures_and_page(tmp_path):
    labels = ("a<b>&$x_$", '"quoted" \\n')
    text = text_with_figures(write_run(tmp_path, classes=labels, n_patients=40), tmp_path / "report.html")
    assert "a<b>" not in text
    assert "a&lt;b&gt;&amp;$x_$" in (tmp_path / "figures" / "confusion.svg").read_text()


def test_every_picture_has_a_text(page):
    images = page.all("img")
    svgs = [svg for svg in page.all("svg") if svg.get("aria-hidden") != "true"]
    assert len(svgs) == len(FIGURES)
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in svgs)
    assert sum("data-slide" in image for image in images) == 60
    assert sum(image["alt"].startswith("Tile of patient ") for image in images) == len(images) - 60 > 20
    assert all(image["alt"] and image["loading"] == "lazy" for image in images)


def test_report_of_60_patients_and_eleven_models_is_below_6_mb_with_the_noisiest_thumbnails(run, html, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    for form in (".h5", ".geojson"):
        shutil.copyfile(next(iter(run.thumbnails.values())).with_suffix(form), tmp_path / f"noise{form}")
    noisy = dict.fromkeys(run.thumbnails, tmp_path / "noise.png")
    write_report(dataclasses.replace(run, thumbnails=noisy), tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size <= 6_000_000


def test_pooled_estimates_stand_in_the_page(run, html):
    metrics = read_table(run.metrics)
    pooled = metrics[(metrics["scope"] == "pooled") & metrics["metric"].isin(["auroc", "average_precision"])]
    for row in pooled.itertuples():
        cell = f"{row.estimate:.3f}<small>[{row.ci_low:.3f}, {row.ci_high:.3f}]</small>"
        assert cell in html


def test_the_page_says_whose_centroids_were_used(run, html, tmp_path):
    assert "The centroids of “nearest centroid on RNA” are computed from the training patients of each fold." in html
    given = dataclasses.replace(run, config={**run.config, "fusion": {"centroids": "/data/<i>/pam50.tsv"}})
    assert "are taken from the table pam50.tsv." in text_of(given, tmp_path / "given.html")
    without = write_run(tmp_path / "run", optional=False, models=("majority", "image"))
    assert "The centroids of" not in text_of(without, tmp_path / "without.html")


def test_slides_that_lost_much_to_ink_are_named(run, tmp_path):
    slides = read_table(run.slides)
    assert "removed as marker ink" not in text_of(run, tmp_path / "report.html")
    slides.loc[4:11, "pen_share"] = [0.3, 0.11, 0.1, 0.05, np.nan, 0.4, 0.5, 0.2]
    slides.loc[0, "pen_share"] = 0.9  # refused: the table of refused slides says why
    write_table(tmp_path / "slides.parquet", slides)
    text = text_of(dataclasses.replace(run, slides=tmp_path / "slides.parquet"), tmp_path / "other.html")
    sentence = next(line for line in text.splitlines() if "removed as marker ink" in line)
    named = slides.loc[[4, 5, 9, 10, 11], "slide"].tolist()
    assert f"marker ink: 5 ({', '.join(named)})" in sentence and "tiles.pen: keep" in sentence
    assert "Share removed as ink" in text


def test_more_thumbnails_than_shown_are_counted_and_refused_slides_come_first(tmp_path):
    inputs = write_run(tmp_path, n_patients=MAX_THUMBNAILS + 7)
    text = text_of(inputs, tmp_path / "report.html")
    images = [image for image in _Page(text).all("img") if "data-slide" in image]
    assert len(images) == MAX_THUMBNAILS
    assert "7 more slides are not shown" in text
    assert [image["alt"].rsplit(" ", 1)[1] for image in images[:4]] == [
        "unreadable", "no_mpp", "unreadable_tiles", "ok",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "models",
    [("majority",), ("majority", "best_gene", "logistic_expression"), ("image",), ("image", "concat")],
)
def test_runs_without_the_optional_parts(tmp_path, models):
    text = text_with_figures(write_run(tmp_path, optional=False, models=models), tmp_path / "report.html")
    page = _Page(text)
    assert [section["id"] for section in page.all("section")] == list(SECTIONS)
    # Slides, thumbnails, RNA, confounders, modality use, truth, control, training, benchmarks, other pages; without RNA
    # circularity; four sections of explanations and six of decisions; thresholds where every probability is the same.
    uses_rna = any("expression" in catalog.get(model).modalities for model in models)
    assert text.count("Not shown:") == 10 + (not uses_rna) + 4 + 6 + (models == ("majority",))
    assert ("PAM50 labels are computed from RNA" in text) == uses_rna


def test_many_classes_and_sites(tmp_path):
    labels = ("LumA", "LumB", "Her2", "Basal", "Normal")
    inputs = write_run(tmp_path, classes=labels, n_patients=300, n_sites=25)
    text = text_with_figures(inputs, tmp_path / "report.html")
    assert "other sites" in (inputs.figures / "folds.svg").read_text()
    assert all(label in (inputs.figures / "pr_curves.svg").read_text() for label in labels)
    assert len(text) < 9_000_000


def test_unknown_model_is_refused(run):
    with pytest.raises(InputError, match="cross_attention"):
        read_tables(dataclasses.replace(run, models=["cross_atention"]))


def test_fold_counts_add_up(run):
    tables = read_tables(run)
    counts = fold_counts(tables)
    assert counts["test"].to_numpy().sum() == len(tables.patients)
    assert (counts.T.groupby(level="fold").sum().sum(axis=1) == len(tables.patients)).all()
    one = counts.loc[("Luminal", "ZA"), ("test", 2)]
    frame = tables.folds.merge(tables.patients, on="patient")
    expected = frame.query("fold == 2 and role == 'test' and label == 'Luminal' and site == 'ZA'")
    assert one == len(expected)


def test_comparisons_are_turned_so_that_fusion_comes_first(run):
    tables = read_tables(run)
    rows = views.key_comparisons(tables)
    others = [name for name in catalog.names() if name not in ("cross_attention", "majority")]
    assert [row["model_b"] for row in rows] == others
    pairs, models = (tables.choice[(tables.choice["model_b"] == "") == alone] for alone in (False, True))
    turned = pairs.rename(columns={"model_a": "model_b", "model_b": "model_a"}).assign(
        estimate=-pairs["estimate"], ci_low=-pairs["ci_high"], ci_high=-pairs["ci_low"]
    )
    again = pd.concat([models, turned])
    assert views.key_comparisons(dataclasses.replace(tables, choice=again)) == rows


def test_undefined_values_are_dashes():
    row = pd.Series({"estimate": np.nan, "ci_low": np.nan, "ci_high": np.nan})
    assert views.estimate(row).text == "–"
    assert views.estimate(None).text == "–"
    assert views.estimate({**row, "estimate": 0.5}) == views.Cell("0.500", sort=0.5, number=True)


def test_calls_per_patient_name_the_most_probable_class(run):
    tables = read_tables(run)
    table, left_out = views.patients_table(tables)
    assert left_out == 0 and len(table.rows) == 60
    column = table.columns.index("RNA alone")
    calls = tables.predictions[tables.predictions["model"] == "expression"].set_index("patient")
    row = calls.loc[table.rows[5][0].text]
    p = {label: row[f"p_{label}"] for label in tables.classes}
    call = max(p, key=p.get)
    assert table.rows[5][column].text == (call if call == row["y_true"] else f"{call} ✗")
    assert table.rows[5][column].small == f"{p[call]:.2f}"


def test_patients_without_a_site_and_with_one_sided_histories(tmp_path):
    inputs = write_run(tmp_path)
    patients = read_table(inputs.patients)
    write_table(inputs.patients, patients.assign(site=None))
    for path in inputs.histories["image"]:
        write_table(path, read_table(path).head(0))
    text = text_with_figures(inputs, tmp_path / "report.html")
    assert "image alone" not in (inputs.figures / "training.svg").read_text()
    assert set(fold_counts(read_tables(inputs)).index.get_level_values("site")) == {"all"}
    assert "Training and validation loss" in text


def test_versions_cover_what_the_package_needs():
    versions = package_versions()
    assert {"python", "histoweave", "torch", "snakemake", "pandas"} <= set(versions)
    assert "pytest" not in versions


def test_inlining_refuses_what_is_not_a_figure(tmp_path):
    path = tmp_path / "x.svg"
    path.write_text("<p>no picture</p>")
    with pytest.raises(ValueError, match="holds no SVG"):
        inline_svg(path, prefix="x", alt="x")


def test_a_learning_curve_that_nobody_asked_for_is_said_to_be_missing(run, tmp_path):
    shown = {name: files for name, files in run.decide.items() if not name.startswith("learning")}
    found = []
    for models in ([], None):
        config = {**run.config, "decide": {"learning_curve": {"models": models}}}
        text = text_of(dataclasses.replace(run, decide=shown, config=config), tmp_path / "report.html")
        found.append(("no learning curve was requested" in text, "a learning curve is not available" in text))
    assert found == [(True, False), (False, True)]
