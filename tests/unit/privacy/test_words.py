"""Names of files that are words too, and names that no suffix shows: what counts where."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from fuzzing import fuzz
from hypothesis import given
from hypothesis import strategies as st

from histoweave.privacy.content import pseudonymised
from histoweave.privacy.files import FileNames
from histoweave.privacy.pseudonyms import Pseudonyms
from histoweave.privacy.share import concept_pseudonyms
from histoweave.privacy.user_files import read_files

KEY = "a key of the hospital, kept secret"
PARAMS = {"key_env": "HISTOWEAVE_PSEUDONYM_KEY", "key": "x", "columns": ["site"]}


@pytest.fixture
def cohort(tmp_path, monkeypatch):
    """Cells in archives called by class, site, covariate, heading and key, and by a patient."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HISTOWEAVE_PSEUDONYM_KEY", KEY)
    archives = ["band_neutrophil", "Site_Nord_2", "batch_2021", "nuclear_grade", "leave_out_rejected", "Mueller_Anna"]
    rows = [
        f"c{n}{k}\t{name}.zip\tm{n}{k}.png\tp{k}\tband_neutrophil_left\tlow"
        for n, name in enumerate(archives)
        for k in (1, 2)
    ]
    Path("cells.tsv").write_text("\n".join(["cell\tpath\tmember\tpatient\tlabel\tnuclear_grade", *rows]))
    Path("patients.tsv").write_text(
        "patient\tlabel\tsite\tbatch\tsurname\np1\ta\tSite_Nord_2\tbatch_2021\tMueller_Anna\np2\tb\tOst\tbatch_2021\tMeyer\n"
    )
    cells = {"table": "cells.tsv", "attributes": ["nuclear_grade"]}
    return {"cohorts": {"a": {"patients": "patients.tsv", "cells": cells}}}


def test_an_archive_called_by_a_class_a_site_or_a_key_does_not_hide_the_word(cohort):
    files = read_files(cohort, ["a"])
    images = pd.DataFrame({"image": ["c01", "c02"], "patient": ["p1", "p2"], "label": "band_neutrophil_left"})
    names = concept_pseudonyms(PARAMS, [images], kind="cell", files=files)
    page = "band_neutrophil_left, band-neutrophil: batch_2021 of nuclear_grade; {'leave_out_rejected': 1}, Site_Nord_2"
    assert names.text(page) == page and names.leaks(page) == []
    assert (
        pseudonymised({"label": "band_neutrophil_left", "leave_out_rejected": page}, names)["leave_out_rejected"]
        == page
    )
    for name in ("band_neutrophil", "Site_Nord_2", "batch_2021", "nuclear_grade", "leave_out_rejected"):
        assert names.leaks(f"in {name}.zip") == [f"{name}.zip"], "with its suffix it is a file"
        assert names.text(f"in {name}.zip") == f"in {names.mapping[f'{name}.zip']}"
    # What one patient has in a column is no word of the page.
    assert names.leaks("of Mueller_Anna") == ["Mueller_Anna"]
    assert names.text("of Mueller_Anna") == f"of {names.mapping['Mueller_Anna.zip']}"


def test_a_value_of_cells_without_patients_is_no_word(cohort):
    Path("cells.tsv").write_text(
        "cell\tpath\tmember\tlabel\tsource\nc1\tMueller_Anna.zip\ta.png\tx\tMueller_Anna\nc2\tMueller_Anna.zip\tb.png\ty\tMueller_Anna\n"
    )
    config = {"cohorts": {"a": {"cells": {"table": "cells.tsv", "attributes": ["source"]}}}}
    images = pd.DataFrame({"image": ["c1", "c2"]})
    names = concept_pseudonyms(PARAMS, [images], kind="cell", files=read_files(config, ["a"]))
    assert names.leaks("source 'Mueller_Anna'") == ["Mueller_Anna"]
    assert "Mueller" not in names.text("source 'Mueller_Anna'")


def known(pairs):
    return Pseudonyms(KEY.encode(), {"slide": ["s1"], "cell": ["c1", "c2"]}, files=FileNames.of(pairs))


@pytest.mark.parametrize(
    ("path", "reason", "expected"),
    [
        ("data/AnnaMueller", "OpenSlide cannot open AnnaMueller: Unsupported or missing image file", "OpenSlide cannot open {c}: Unsupported or missing image file"),
        ("data/Mueller", "Mueller cannot be read as HDF5: x", "{c} cannot be read as HDF5: x"),
        ("Mueller", "'a.zip' has no member 'Mueller'", "a file has no member '{c}'"),
        ("mueller", "'a.zip' has no member 'mueller'", "a file has no member '{c}'"),
        ("x/mueller.svs", "OpenSlide cannot open mueller: x", "OpenSlide cannot open {c}: x"),
        ("x/tumour.svs", "no tumour in 17 tiles", "no tumour in 17 tiles"),
        ("x/17.svs", "17 of 70 tiles are empty, '17' is damaged", "17 of 70 tiles are empty, '{c}' is damaged"),
        ("x/Li.svs", "Li: cannot be read", "{c}: cannot be read"),
        ("x/A1.svs", "rows of A1 are cut", "rows of {c} are cut"),
        ("Anna M.", "no member 'Anna M.'", "no member '{c}'"),
        ("Müller.j2k", "in Müller, level 2", "in {c}, level 2"),
    ],
)  # fmt: skip
def test_in_reasons_a_registered_file_counts_whatever_its_form(path, reason, expected):
    names = known([("c1", path)])
    assert names.reason(reason) == expected.format(c=names.mapping["c1"])
    assert names.reason(names.reason(reason)) == names.reason(reason)


@pytest.mark.parametrize(
    "suffix", ["heic", "HEIF", "ppm", "pgm", "pnm", "avif", "j2k", "jpx", "jfif", "JPE", "opt", "svs.part"]
)
@pytest.mark.parametrize("template", ["1 picture was left out, such as '{}' (tiles: 64)", "cannot read {}: x", "{}"])
def test_a_stray_file_of_any_kind_is_called_a_file(suffix, template):
    shown = known([]).reason(template.format(f"Mueller_Anna_1970.{suffix}"))
    assert shown.replace("'a file'", "a file") == template.replace("'{}'", "{}").format("a file")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("such as 'Maria D'Angelo 1970.png' (tiles: 64)", "such as a file (tiles: 64)"),
        ("'O'Neil.png' and 'Maria D'Angelo.png': x", "a file and a file: x"),
        ("such as 'Pat \"x\" O'Neil.png' (1)", "such as a file (1)"),
        ("Couldn't open pv/Anna Mueller map.jpg: No such file", "Couldn't open a file: No such file"),
        ("Couldn't open anna mueller map.jpg: No such file", "Couldn't open a file: No such file"),
        ("Can't open Anna Mueller/Data0001.dat", "Can't open a file"),
        ("Mueller Anna 1970.h5 is damaged", "a file is damaged"),
        ("rows 3 to 5 of Schmidt Karl.h5 cannot be read: x", "rows 3 to 5 of a file cannot be read: x"),
        ("directory: /mnt/Karl Schmidt/ward", "directory: a file"),
        ("/data/Anna Mueller 1970 cannot be read: Permission denied", "a file cannot be read: Permission denied"),
        ("dataset 'features' has no rows, 'coords' has 3", "dataset 'features' has no rows, 'coords' has 3"),
        ("the folder 'Mueller Anna' in it was not read (3 pictures)", "the folder a file in it was not read (3 pictures)"),
        ("no member 'Anna' in it, cannot open 'Mueller'", "no member a file in it, cannot open a file"),
        ("the folder has no tile images (.png, .jpg)", "the folder has no tile images (.png, .jpg)"),
        ("the site's patients' scores; set 'tiles.pen' to 'off'", "the site's patients' scores; set 'tiles.pen' to 'off'"),
    ],
)  # fmt: skip
def test_names_with_blanks_and_apostrophes_are_called_a_file(reason, expected):
    assert known([]).reason(reason) == expected


# An apostrophe stands before a letter; what ends in one, or has it before a blank, reads like a quote.
given_names = st.from_regex(r"[AÄ0][bcüA0 .-]{0,4}('[AÄbc])?[bcü0 .-]{0,4}[bcüA]", fullmatch=True)


@fuzz(200)
@given(name=given_names, suffix=st.sampled_from(["", ".heic", ".svs", ".j2k"]), template=st.sampled_from(["'{}' cannot be read: x", "no member '{}'", "{} cannot be read", "cannot open {}: x"]))  # fmt: skip
def test_no_registered_name_is_left_where_a_reason_names_a_file(name, suffix, template):
    names = known([("c1", name + suffix)])
    shown = names.reason(template.format(name + suffix))
    assert name not in shown, shown
