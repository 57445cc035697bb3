"""Ids that are numbers: found where they are meant, and no other number of a page is taken for one."""

from __future__ import annotations

import io

import matplotlib
import pytest
from fuzzing import fuzz
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from histoweave.privacy.content import pseudonymised
from histoweave.privacy.pseudonyms import Pseudonyms
from histoweave.privacy.share import check_shared

matplotlib.use("Agg")
KEY = b"a key of the hospital, kept secret"
IDS = ["698979", "21-4711", "332288", "7"]


@pytest.fixture(scope="module")
def names():
    return Pseudonyms(KEY, {"patient": IDS})


@pytest.mark.parametrize(
    "text",
    [
        "p = 0.698979",
        "p = .698979, ",
        "AUROC 0.698979 (0.698979 to 21.4711).",
        "698979.5 genes, 21.4711 mm, 21.4711%, 698979.0",
        "1.5e-21 and 0.698979e-05",
        "cell 7.5 µm wide",
        "from -0.698979 to +0.698979",
        '[0.698979,21.4711,{"p":0.698979}]',
        "1698979 and 6989790, 121-47110",
    ],
)
def test_a_number_with_a_decimal_point_is_no_id(names, tmp_path, text):
    assert names.text(text) == text
    page = tmp_path / "page.html"
    page.write_text(f"<p>{text}</p>")
    check_shared(page, names)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("of 698979.", "of {n}."),
        ("(698979)", "({n})"),
        ("slides/698979.svs", "slides/{n}.svs"),
        ("scan_698979_HE.svs", "scan_{n}_HE.svs"),
        ("tcga.698979", "tcga.{n}"),
        ("698979.1.svs", "{n}.1.svs"),
        ("x/1.698979/a.svs", "x/1.{n}/a.svs"),
        ("21.4711 of ward.21.4711.svs", "21.4711 of ward.{d}.svs"),
        ("21_4711 and 21-4711-1", "{d} and {d}-1"),
        ("patient 7, patient 7.", "patient {s}, patient {s}."),
        ("patients 698979,332288", "patients {n},{c}"),
    ],
)
def test_a_number_that_is_an_id_is_replaced_and_found(names, tmp_path, text, expected):
    known = names.mapping
    expected = expected.format(n=known["698979"], d=known["21-4711"], s=known["7"], c=known["332288"])
    assert names.text(text) == expected and names.text(expected) == expected
    page = tmp_path / "page.html"
    for shown, leaks in ((text, "patient 7" not in text), (expected, False)):
        page.write_text(f"<p>{shown}</p>")
        assert bool(names.leaks(page.read_text())) is leaks


def test_coordinates_and_colours_of_a_drawing_are_kept_and_its_words_are_not(names):
    """`d`, `points` and colours hold numbers as whole tokens; a title, a name and a text hold ids."""
    drawn = (
        '<svg viewBox="0 0 698979 332288"><path d="M 698979 21.4711 L 153.698979 1" style="fill: #332288"/>'
        '<use x="698979" y="153.698979" fill="#332288"/></svg>'
    )
    assert pseudonymised(Markup(drawn), names) == drawn and names.leaks(drawn) == []
    said = '<svg><g id="698979"><title>698979</title><text x="1">698979</text></g></svg>'
    assert names.leaks(said) == ["698979"]
    assert "698979" not in pseudonymised(Markup(said), names)


@fuzz(25)
@given(values=st.lists(st.floats(-1e3, 1e3, allow_nan=False), min_size=2, max_size=12))
def test_no_figure_holds_an_id_by_chance(values):
    """Every run of six digits of a figure as an id: the figure says nothing of patients."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 2))
    figure.subplots().plot(values, color="#332288")
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "x"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    digits = [part for part in "".join(c if c.isdigit() else " " for c in svg).split() if len(part) == 6]
    found = Pseudonyms(KEY, {"patient": set(digits)})
    assert len(digits) > 4 and found.leaks(svg) == []
    assert str(pseudonymised(Markup(svg), found)) == svg
