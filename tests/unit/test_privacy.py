"""Pseudonyms: what they are, that no shared artefact keeps an id, and that labels of slides are never looked at."""

from __future__ import annotations

import dataclasses
import html as html_module
import json
import re
import string
from pathlib import Path

import numpy as np
import openslide
import pandas as pd
import pytest
import yaml
from applied_data import write_applied_run
from concept_report_data import write_concept_run
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from PIL import Image
from report_data import write_run

from histoweave.config import Tiles, parse_config
from histoweave.errors import InputError
from histoweave.gallery.files import pictures_of_slides
from histoweave.gallery.page import write_concept_report
from histoweave.io import read_table, write_table
from histoweave.privacy import __main__ as command
from histoweave.privacy import pseudonyms as module
from histoweave.privacy.content import pseudonymised
from histoweave.privacy.key import privacy_params
from histoweave.privacy.pseudonyms import Pseudonyms, pseudonym
from histoweave.privacy.share import check_shared, concept_pseudonyms, shared_inputs, tissue_pseudonyms
from histoweave.privacy_config import Privacy
from histoweave.report.applied import write_applied
from histoweave.report.figures import draw_figures
from histoweave.report.inputs import ReportInputs, read_tables
from histoweave.report.machine import write_report_json
from histoweave.report.page import write_report
from histoweave.slides.outlines import text_picture, write_png
from histoweave.slides.tiling import tile_slide

KEY = "a key of the hospital, kept secret"
PARAMS = {"key_env": "HISTOWEAVE_PSEUDONYM_KEY", "key": "x"}
ROOT = Path(__file__).parents[2]
PSEUDONYM = re.compile(r"[PSCR]-[A-Z2-7]{10}")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("HISTOWEAVE_PSEUDONYM_KEY", KEY)


# ---------------------------------------------------------------- names


def test_a_pseudonym_is_the_start_of_the_hmac_of_the_id():
    # Test case 2 of RFC 4231.
    digest = int("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", 16)
    alphabet = string.ascii_uppercase + "234567"  # RFC 4648
    expected = "".join(alphabet[digest >> (256 - 5 * n) & 31] for n in range(1, 11))
    assert pseudonym("what do ya want for nothing?", "patient", key=b"Jefe") == f"P-{expected}"
    assert pseudonym("what do ya want for nothing?", "slide", key=b"Jefe") == f"S-{expected}"


def test_two_ids_with_one_pseudonym_are_refused(monkeypatch):
    monkeypatch.setattr(module, "N_CHARACTERS", 1)
    with pytest.raises(InputError, match=r"get the same pseudonym P-.; use another key"):
        Pseudonyms(KEY.encode(), {"patient": [f"p{n}" for n in range(40)]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TCGA-ZA-0001", "{p}"),
        ("TCGA-ZA-0001-01Z-00-DX1", "{s}"),
        ("TCGA-ZA-0001-01A-11R-A115-07", "{p}-01A-11R-A115-07"),
        ("TCGA.ZA.0001 and tcga_za_0001", "{p} and {p}"),
        ("/data/scans/tcga-za-0001-01z-00-dx1.svs", "/data/scans/{s}.svs"),
        ("/archive/S21 4711.svs cannot be read", "{s} cannot be read"),
        ("copied from S21 4711.svs", "copied from {s}"),
        (
            "patient 7: 17 of 70 tiles at 0.7, 7 of slides/7.svs",
            "patient {seven}: 17 of 70 tiles at 0.7, 7 of slides/{seven}.svs",
        ),
        ("7", "7"),
        ("x12345678.png, not 112345678", "x{number}.png, not 112345678"),
        ("Anna met Annabel", "{name} met Annabel"),
        ("0123456789abcdef", "0123456789abcdef"),
    ],
)
def test_ids_are_found_where_they_are_meant(text, expected):
    names = Pseudonyms(
        KEY.encode(),
        {"patient": ["TCGA-ZA-0001", "7", "12345678", "Anna"], "slide": ["TCGA-ZA-0001-01Z-00-DX1"]},
        also={"/archive/S21 4711.svs": "TCGA-ZA-0001-01Z-00-DX1", "S21 4711.svs": "TCGA-ZA-0001-01Z-00-DX1"},
    )
    known = names.mapping
    given_names = {
        "p": "TCGA-ZA-0001",
        "s": "TCGA-ZA-0001-01Z-00-DX1",
        "seven": "7",
        "number": "12345678",
        "name": "Anna",
    }
    expected = expected.format(**{name: known[identifier] for name, identifier in given_names.items()})
    assert names.text(text) == expected
    assert names.text(expected) == expected


identifiers = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{2,8}[0-9]{3}", fullmatch=True)


@given(
    ids=st.lists(identifiers, min_size=1, max_size=8, unique=True),
    order=st.lists(st.tuples(st.integers(0, 7), st.sampled_from([" ", "/", ": ", ".svs ", "; "])), max_size=8),
)
def test_no_text_keeps_an_id(ids, order):
    names = Pseudonyms(KEY.encode(), {"patient": ids})
    text = "".join(f"{separator}{ids[place % len(ids)]}" for place, separator in order)
    shared = names.text(text)
    assert names.leaks(shared) == []
    # Ids inside others' pseudonyms are chance; all that is left besides them is free of ids.
    rest = PSEUDONYM.sub(" ", shared)
    assert not any(identifier in rest for identifier in ids if not identifier.isdigit())
    assert names.text(shared) == shared


def test_tables_keep_their_vocabulary_and_lose_their_ids():
    names = Pseudonyms(KEY.encode(), {"patient": ["p1", "Basal"], "slide": ["p1"]})
    table = pd.DataFrame(
        {
            "patient": ["p1", None], "slide": ["p1", ""], "label": ["Basal", "p1"], "reason": ["p1 is lost", None],
            "ids": ["p1; sample-of-p1", ""], "n": [1, 2], "top_tiles": [[{"slide": "p1", "score": 0.5}], []],
        }
    )  # fmt: skip
    shared = pseudonymised({"tables": (table,), "svg": Markup("<text>p1</text>")}, names)
    found = shared["tables"][0]
    one, of_slide = pseudonym("p1", "patient", key=KEY.encode()), pseudonym("p1", "slide", key=KEY.encode())
    assert found["patient"].to_list() == [one, None] and found["slide"].to_list() == [of_slide, ""]
    assert found["label"].to_list() == ["Basal", "p1"] and found["reason"].to_list() == [f"{one} is lost", None]
    sample = pseudonym("sample-of-p1", "sample", key=KEY.encode())
    assert found["ids"].to_list() == [f"{one}; {sample}", ""] and found["n"].to_list() == [1, 2]
    numbered = pseudonymised(
        pd.DataFrame({"patient": ["7"], "text": ["7"]}), Pseudonyms(KEY.encode(), {"patient": ["7"]})
    )
    assert numbered.loc[0].to_list() == [pseudonym("7", "patient", key=KEY.encode()), "7"]
    assert found["top_tiles"][0] == [{"slide": of_slide, "score": 0.5}]
    assert shared["svg"] == Markup(f"<text>{one}</text>") and isinstance(shared["svg"], Markup)
    assert table["patient"][0] == "p1", "the table itself stays as it was"


# ---------------------------------------------------------------- the key


@pytest.mark.parametrize(
    ("value", "problem"), [(None, "is not set"), ("  ", "is not set"), ("short", "has 5 characters")]
)
def test_a_missing_key_is_refused_before_any_job(monkeypatch, value, problem):
    if value is None:
        monkeypatch.delenv("HISTOWEAVE_PSEUDONYM_KEY")
    else:
        monkeypatch.setenv("HISTOWEAVE_PSEUDONYM_KEY", value)
    with pytest.raises(InputError, match=f"HISTOWEAVE_PSEUDONYM_KEY {problem}") as caught:
        privacy_params(Privacy(pseudonyms=True))
    assert "\n" not in str(caught.value) and "secrets.token_hex" in str(caught.value)
    assert privacy_params(Privacy(pseudonyms=True), required=False)["key"] == ""
    assert privacy_params(Privacy()) == {}


def test_what_rules_are_told_changes_with_the_key_and_does_not_tell_it(monkeypatch):
    first = privacy_params(Privacy(pseudonyms=True))
    monkeypatch.setenv("HISTOWEAVE_PSEUDONYM_KEY", KEY + "!")
    second = privacy_params(Privacy(pseudonyms=True))
    assert first["key"] != second["key"] and KEY not in json.dumps([first, second])


def test_a_name_that_is_no_variable_is_refused():
    raw = {"cohorts": {"a": {"cells": "cells.tsv"}}, "privacy": {"pseudonyms": True, "key_env": "$(id)"}}
    with pytest.raises(InputError, match=r"privacy\.key_env"):
        parse_config(raw)


# ---------------------------------------------------------------- shared artefacts


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose ids stand in reasons, paths, the configuration, a table's name and a picture."""
    folder = tmp_path_factory.mktemp("run")
    inputs = write_run(folder)
    slides = read_table(inputs.slides)
    slides.loc[5, ["status", "reason"]] = [
        "unreadable", f"{slides['path'][5]}, beside tcga.za.0006 of TCGA-ZA-0006-01A-11R, is cut short",
    ]  # fmt: skip
    slides.loc[6, "path"] = "archive/accession 4711-22.svs"
    slides.loc[6, ["status", "reason"]] = ["missing_file", "archive/accession 4711-22.svs does not exist"]
    write_table(inputs.slides, slides)
    write_png(inputs.thumbnails[slides["slide"][0]], text_picture(f"{slides['slide'][0]}: unreadable"))
    config = {"simulate": {"no_mpp": [slides["slide"][2]], "without_rna": ["TCGA-ZA-0004"]}, **inputs.config}
    sources = {"data/TCGA-ZA-0001.tsv": "ab" * 32, **inputs.input_sha256}
    return dataclasses.replace(inputs, config=config, input_sha256=sources)


@dataclasses.dataclass
class Shared:
    """The inputs of a page, its names, where it was written, and its text, JSON and figures."""

    inputs: ReportInputs
    names: Pseudonyms
    folder: Path
    page: str
    machine: str
    figures: str


@pytest.fixture(scope="module")
def shared(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HISTOWEAVE_PSEUDONYM_KEY", KEY)
        names = tissue_pseudonyms(PARAMS, patients=run.patients, slides=run.slides)
    inputs = shared_inputs(dataclasses.replace(run, figures=folder / "figures"), names)
    draw_figures(tables=read_tables(inputs), out_dir=inputs.figures)
    write_report_json(inputs, folder / "report.json")
    write_report(inputs, folder / "report.html")
    texts = [path.read_text(encoding="utf-8") for path in sorted(inputs.figures.iterdir())]
    page, machine = ((folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.json"))
    return Shared(inputs, names, folder, page, machine, "".join(texts))


def test_report_json_and_figures_hold_no_original_id(run, shared):
    ids = [*read_table(run.patients)["patient"], *read_table(run.slides)["slide"]]
    for identifier in ids:
        for form in (identifier, identifier.lower(), identifier.replace("-", ".")):
            assert form not in shared.page and form not in shared.machine and form not in shared.figures
    assert "4711-22" not in shared.page and "TCGA-ZA-09" not in shared.page, "paths, and patients that no table lists"
    mapping = shared.names.mapping
    assert len(set(mapping.values())) == len(ids) == 120 and all(mapping[each] in shared.page for each in ids)
    assert json.loads(shared.machine)["pseudonyms"] is True
    for name in ("report.html", "report.json"):
        check_shared(shared.folder / name, shared.names)
    assert {path.name for path in shared.folder.iterdir()} == {"figures", "report.html", "report.json"}, "no mapping"


def test_a_picture_that_is_an_id_is_left_out(run, shared):
    first, *others = read_table(run.slides)["slide"]
    assert set(shared.inputs.thumbnails) == {shared.names.mapping[slide] for slide in others}
    assert first in run.thumbnails


def test_the_report_says_the_same_with_pseudonyms(run, shared, tmp_path):
    write_report_json(run, tmp_path / "report.json")
    one, other = json.loads((tmp_path / "report.json").read_text()), json.loads(shared.machine)
    assert "TCGA-ZA-0004" in json.dumps(one["config"])
    assert {key for key in one if one[key] != other[key]} == {"pseudonyms", "config", "inputs_sha256"}


def test_without_privacy_nothing_changes(run):
    assert shared_inputs(run, tissue_pseudonyms({}, patients=run.patients)) is run


def test_a_leak_ends_the_job(shared, tmp_path):
    names = shared.names
    page = tmp_path / "report.html"
    page.write_text("<p>as in TCGA-ZA-0007</p>")
    with pytest.raises(RuntimeError, match="1 original ids, such as 'TCGA-ZA-0007'"):
        check_shared(page, names)
    page.write_text(f"<img src='data:image/jpeg;base64,{'TCGAZA0007' * 30}'>")
    check_shared(page, names)


@pytest.mark.parametrize("source", ["cells", "tiles"])
def test_the_page_of_concepts_holds_no_original_id(tmp_path, source):
    inputs = write_concept_run(tmp_path, source=source)
    files = [inputs.training, *inputs.externals]
    table = read_table(inputs.training.concepts)
    table["name"] = table["verdict"] = table["comment"] = ""
    table.loc[3, ["name", "verdict", "comment"]] = ["band of lab_a-0003", "accepted", "see patient LAB_A-P1"]
    write_table(inputs.training.concepts, table)
    images = [read_table(each.images) for each in files]
    names = concept_pseudonyms(PARAMS, images, kind="cell" if source == "cells" else "slide")
    write_concept_report(shared_inputs(inputs, names), tmp_path / "hidden.html")
    write_concept_report(inputs, tmp_path / "shown.html")
    hidden, shown = ((tmp_path / name).read_text(encoding="utf-8") for name in ("hidden.html", "shown.html"))
    ids = {identifier for each in images for column in ("image", "patient") for identifier in each[column]}
    shown_ids = [identifier for identifier in ids if html_module.escape(identifier) in shown]
    assert len(shown_ids) > 20
    for identifier in ids:
        assert identifier not in hidden and html_module.escape(identifier) not in hidden, identifier
        assert identifier.lower() not in hidden.lower()
    # Pictures and maps are found by the ids, so they must be as many.
    assert [len(re.findall(r"/9j/[A-Za-z0-9+/=]{40}", text)) for text in (hidden, shown)] == [
        len(re.findall(r"/9j/[A-Za-z0-9+/=]{40}", shown))
    ] * 2
    check_shared(tmp_path / "hidden.html", names)


def test_thumbnails_of_the_gallery_leave_messages_out(tmp_path):
    write_png(tmp_path / "message.png", text_picture("slide-1: 40 tiles of slide-1.h5"))
    Image.fromarray(np.full((40, 40, 3), (200, 120, 180), np.uint8)).save(tmp_path / "tissue.png")
    for texts, expected in ((True, [True, True]), (False, [False, True])):
        picture = pictures_of_slides(tmp_path, texts=texts)
        assert [picture(name) is not None for name in ("message", "tissue")] == expected


@pytest.mark.parametrize("labelled", [True, False])
def test_the_page_of_an_external_cohort_holds_no_original_id(tmp_path, labelled):
    inputs = write_applied_run(tmp_path, labelled=labelled)
    patients = read_table(inputs.predictions)["patient"].unique()
    write_table(tmp_path / "patients.parquet", pd.DataFrame({"patient": patients}))
    names = tissue_pseudonyms(PARAMS, patients=tmp_path / "patients.parquet")
    write_applied(shared_inputs(inputs, names), tmp_path / "hidden.html")
    text = (tmp_path / "hidden.html").read_text(encoding="utf-8")
    assert not any(patient in text for patient in patients)
    assert all(given_name in text for given_name in names.mapping.values())


def test_the_mapping_is_printed_for_who_asks(run, tmp_path, capsys):
    folder = tmp_path / "cohort"
    write_table(folder / "patients.parquet", read_table(run.patients))
    write_table(folder / "slides.parquet", read_table(run.slides))
    command.main([str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    expected = pseudonym("TCGA-ZA-0001", "patient", key=KEY.encode())
    assert lines[0] == "id\tpseudonym" and f"TCGA-ZA-0001\t{expected}" in lines and len(lines) == 121


# ---------------------------------------------------------------- label and macro images


def test_no_code_reads_label_or_macro_images():
    for path in sorted([*(ROOT / "workflow").rglob("*.py"), *(ROOT / "rules").glob("*.smk")]):
        text = path.read_text(encoding="utf-8")
        assert "associated_image" not in text and "get_thumbnail" not in text, path


def test_tiling_works_where_label_and_macro_images_cannot_be_read(tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile")

    def forbidden(self):
        raise AssertionError("label and macro images are none of our business")

    for kind in (openslide.AbstractSlide, openslide.OpenSlide, openslide.ImageSlide):
        for name in ("associated_images", "associated_image_profiles"):
            if hasattr(kind, name):
                monkeypatch.setattr(kind, name, property(forbidden))
    pixels = np.full((1024, 1024, 3), 245, np.uint8)
    pixels[200:900, 200:900] = (200, 110, 170)
    pixels[::3, ::2] //= 2
    tifffile.imwrite(
        tmp_path / "slide.tiff", pixels, tile=(256, 256), photometric="rgb",
        resolution=(20000, 20000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    status = tile_slide(
        slide="slide", path=str(tmp_path / "slide.tiff"), mpp=0.5, settings=Tiles(), on_error="continue",
        out_h5=tmp_path / "s.h5", out_geojson=tmp_path / "s.geojson", out_png=tmp_path / "s.png",
    )  # fmt: skip
    assert status == "ok"


def test_the_commented_config_leaves_pseudonyms_off():
    raw = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    assert raw["privacy"] == Privacy().model_dump()
