"""Names of the user's files are ids where they are shared: in reasons, and in the last look."""

from __future__ import annotations

import json
import unicodedata
from html import escape
from pathlib import Path

import pandas as pd
import pytest
import yaml
from concept_report_data import write_concept_run
from fuzzing import fuzz
from hypothesis import given
from hypothesis import strategies as st
from running import ROOT

from histoweave.errors import InputError
from histoweave.pages.concepts.page import write_concept_report
from histoweave.privacy.content import pseudonymised
from histoweave.privacy.files import FileNames, UserFiles
from histoweave.privacy.key import read_key
from histoweave.privacy.pseudonyms import Pseudonyms
from histoweave.privacy.share import check_shared, concept_pseudonyms, shared_inputs
from histoweave.privacy.user_files import read_files
from histoweave.storage.files import read_table, write_table

KEY = "a key of the hospital, kept secret"
PAIRS = [
    ("s1", "/scans/MUELLER_Anna_1970/slide one.svs"),
    ("s1", "feats/Müller_Anna.h5"),
    ("c1", "Schmidt-1955.zip"),
    ("c2", "Schmidt-1955.zip"),
    ("c1", "cells/O'Brien, Pat 3.png"),
    ("c2", "cells/image.png"),
]


@pytest.fixture
def names():
    return Pseudonyms(KEY.encode(), {"slide": ["s1"], "cell": ["c1", "c2"]}, files=FileNames.of(PAIRS))


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("/scans/MUELLER_Anna_1970/slide one.svs: cannot be opened", "{s1}: cannot be opened"),
        ("feats/Müller_Anna.h5 has no features", "{s1} has no features"),
        ("müller_anna.H5: no features", "{s1}: no features"),
        ("member 'O'Brien, Pat 3.png' of 'Schmidt-1955.zip' is damaged", "member '{c1}' of '{zip}' is damaged"),
        ("Schmidt-1955 is no archive", "{zip} is no archive"),
        ("the companion /scans/MUELLER_Anna_1970/Data0001.dat is missing", "the companion a file is missing"),
        ("folder C:\\scans\\Mueller\\x is locked", "folder a file is locked"),
        ("'Frau Anna Mueller.dcm' is of another series", "a file is of another series"),
        ("beside mueller_1970.mrxs, in ../old/mueller", "beside a file, in a file"),
        ("/scans/s1 and more.svs, 3 images", "{s1}, 3 images"),
        ("of /other/Frau Mueller/one.tar.gz (of s1)", "of a file (of {s1})"),
        ("17 of 70 tiles at 0.5 µm/px, tiles.max_failed_share is 0.1", "17 of 70 tiles at 0.5 µm/px, tiles.max_failed_share is 0.1"),
        ("needs float32 and/or float16 (see tiles.pen)", "needs float32 and/or float16 (see tiles.pen)"),
        ("two series: 1.2.826.0.1.3680043 and 2.25.1.4.7; version 4.0.1", "two series: a series and a series; version 4.0.1"),
    ],
)  # fmt: skip
def test_no_reason_names_a_file(names, reason, expected):
    known = {"s1": names.mapping["s1"], "c1": names.mapping["c1"], "zip": names.mapping["Schmidt-1955.zip"]}
    assert names.mapping["Schmidt-1955.zip"].startswith("F-")
    for form in (reason, unicodedata.normalize("NFD", reason)):
        shown = pseudonymised(pd.DataFrame({"reason": [form]}), names)["reason"][0]
        assert shown == expected.format(**known)
        assert names.reason(shown) == shown


stems = st.text(st.sampled_from("AbcdEü0179_- ."), min_size=6, max_size=14).map(str.strip).filter(lambda s: len(s) > 5)
suffixes = st.sampled_from([".h5", ".svs", ".tar.gz", ".PNG", ".dcm", ".zip"])
folders = st.sampled_from(["", "/scans/", "feats/", "C:\\\\old scans\\\\", "../a b/"])
TEMPLATES = ["{}: cannot be read", "cannot read '{}'", 'no member "{}" in it', "({}) is empty", "of {}, twice", "{}"]


def test_notes_on_files_that_were_not_read_name_none(names):
    notes = "1 file that no row of the sheet names, such as MUELLER_Anna_1970.tsv"
    shown = pseudonymised({"read": {"notes": notes, "first_id": "s1"}}, names)
    assert shown["read"] == {
        "notes": "1 file that no row of the sheet names, such as a file",
        "first_id": names.mapping["s1"],
    }


@fuzz(200)
@given(
    files=st.lists(st.tuples(stems, suffixes, folders), min_size=1, max_size=4),
    known=st.booleans(),
    said=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(TEMPLATES), st.booleans()), min_size=1, max_size=4),
)
def test_no_name_of_a_file_is_left_in_any_reason(files, known, said):
    """Files of the tables wherever they stand, others in quotes or where their suffix shows them."""
    paths = [f"{folder}{stem}{suffix}" for stem, suffix, folder in files]
    pairs = [(f"c{n}", path) for n, path in enumerate(paths)]
    ids = {"cell": [f"c{n}" for n in range(len(paths))]}
    names = Pseudonyms(KEY.encode(), ids, files=FileNames.of(pairs if known else []))
    for place, template, by_name in said:
        stem, suffix, folder = files[place % len(files)]
        if not known and not (" " not in stem or "'" in template or '"' in template or folder[:1] in ("/", ".", "C")):
            continue
        text = template.format(f"{stem}{suffix}" if by_name and " " not in stem else paths[place % len(files)])
        assert f"{stem}{suffix}" not in names.reason(text), text


def test_words_of_a_sentence_are_no_names_of_files(names):
    """Short and plain stems, and numbers, stay: only with their suffix they are names."""
    files = FileNames.of([("c1", "image.png"), ("c1", "100000.png"), ("c1", "HER2.zip"), ("c1", "cells")])
    assert set(files.own) == {"image.png", "100000.png", "HER2.zip"}
    shown = Pseudonyms(KEY.encode(), {"cell": ["c1"]}, files=files)
    assert shown.text("100000 cells of HER2, one image each") == "100000 cells of HER2, one image each"
    mueller = Pseudonyms(
        KEY.encode(), {"cell": ["c1"]}, files=FileNames.of([("c1", "x/Müller.png"), ("c1", "image.png")])
    )
    assert mueller.reason("Müller: no image") == f"{mueller.mapping['c1']}: no image"
    assert mueller.text("class Müller") == "class Müller", "a word may as well be a class"
    assert shown.text("see image.png") == f"see {shown.mapping['c1']}"


@pytest.mark.parametrize(
    "name", ["MUELLER_Anna_1970/slide one.svs", "Müller_Anna.h5", "Schmidt-1955", "O'Brien, Pat 3.png"]
)
@pytest.mark.parametrize("form", [str, escape, lambda text: json.dumps(text), lambda text: unicodedata.normalize("NFD", text),
                                  str.upper, lambda text: text.replace("_", ".")])  # fmt: skip
def test_the_last_look_finds_names_of_files_however_they_are_written(names, tmp_path, name, form):
    page = tmp_path / "page.html"
    page.write_text(f"<p>in {form(name)}: cannot be read</p>", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"still holds [12] original ids"):
        check_shared(page, names)
    page.write_text("<p>an imagepng, Schmidt 1955, Anna</p>", encoding="utf-8")
    check_shared(page, names)


def test_the_page_of_concepts_names_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HISTOWEAVE_PSEUDONYM_KEY", KEY)
    inputs = write_concept_run(tmp_path, source="cells")
    images = read_table(inputs.training.images)
    bad = images.index[images["status"] != "ok"][:4]
    assert len(bad) >= 2
    files = [f"/cells/MUELLER_Anna_197{n}/Frau Mueller {n}.png" for n in range(len(bad))]
    images.loc[bad, "reason"] = [f"{file} (of /cells/anna.zip) is no picture" for file in files]
    write_table(inputs.training.images, images)
    params = {"key_env": "HISTOWEAVE_PSEUDONYM_KEY", "key": "x", "columns": ["site"]}
    tables = [images, *(read_table(each.images) for each in inputs.externals)]
    pairs = list(zip(images["image"][bad], files, strict=True))
    names = concept_pseudonyms(params, tables, kind="cell", files=UserFiles(pairs))
    write_concept_report(inputs, tmp_path / "shown.html")
    write_concept_report(shared_inputs(inputs, names), tmp_path / "hidden.html")
    shown, hidden = ((tmp_path / f"{name}.html").read_text(encoding="utf-8") for name in ("shown", "hidden"))
    for text in ("MUELLER", "Mueller", "anna.zip"):
        assert text in shown and text not in hidden
    check_shared(tmp_path / "hidden.html", names)
    with pytest.raises(RuntimeError, match="original ids"):
        check_shared(tmp_path / "shown.html", names)


def test_every_file_of_the_tables_is_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("patients.tsv").write_text("patient\tlabel\np1\ta\np2\tb\n")
    Path("slides.tsv").write_text("slide\tpatient\tpath\tcoords\tfeatures\ns1\tp1\tx.svs\ty.h5\t\ns2\tp2\t\t\tz.pt\n")
    Path("cells.tsv").write_text("cell\tpath\tmember\tpatient\nc1\tone.zip\tm 1.png\tp1\nc2\tone.zip\tm 2.png\tp2\n")
    config = {
        "cohorts": {
            "a": {"patients": "patients.tsv", "slides": "slides.tsv", "cells": {"table": "cells.tsv"}},
            "b": {"patients": "nowhere.tsv", "slides": "nowhere.tsv"},
        }
    }
    found = read_files(config, ["a"]).pairs
    assert {file for _, file in found if file} == {"x.svs", "y.h5", "z.pt", "one.zip", "m 1.png", "m 2.png"}
    assert {("s1", "y.h5"), ("s2", "z.pt"), ("c2", "m 2.png")} <= set(found)
    demo = yaml.safe_load((ROOT / "config/demo/config.yaml").read_text())
    monkeypatch.chdir(ROOT)
    assert read_files(demo, demo["cohorts"]).pairs == [], "what the workflow draws itself is called by nobody's name"


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("a" * 16, "only 2 of its 16"),
        ("0123456789abcdef", "counts up or down"),
        ("9876543210987654", "counts up or down"),
        ("passwordpassword", "repeats itself"),
        ("Secret-SECRET-secret-Secret", "repeats itself"),
        ("abababababababababab", "repeats itself"),
        ("HISTOWEAVE_PSEUDONYM_KEY", "the name of an environment variable"),
        ("${HISTOWEAVE_PSEUDONYM_KEY}", "the name of an environment variable"),
        ("/usr/bin:/usr/local/bin", "paths of this machine"),
        ("python -c 'import secrets; print(secrets.token_hex(32))'", "the command that makes a key"),
    ],
)  # fmt: skip
def test_a_key_that_can_be_guessed_is_refused_without_being_repeated(monkeypatch, key, problem):
    monkeypatch.setenv("HISTOWEAVE_PSEUDONYM_KEY", key)
    with pytest.raises(InputError, match=rf"{problem}.*set it to a key.*secrets\.token_hex") as caught:
        read_key("HISTOWEAVE_PSEUDONYM_KEY")
    assert key.startswith(("HISTO", "python")) or key not in str(caught.value)


def test_keys_that_a_random_generator_makes_are_taken(monkeypatch):
    import random

    random_bytes = random.Random(1)
    for n_bytes in (12, 16, 32):
        for _ in range(200):
            monkeypatch.setenv("A_KEY", random_bytes.randbytes(n_bytes).hex())
            assert len(read_key("A_KEY")) == 2 * n_bytes
