"""No shared artefact keeps an id, a site or a hidden covariate."""

from __future__ import annotations

import dataclasses
import html as html_module
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from applied_data import write_applied_run
from concept_report_data import write_concept_run
from PIL import Image
from report_data import write_run

from histoweave.pages.applied.as_json import write_applied_json
from histoweave.pages.applied.page import write_applied
from histoweave.pages.concepts.files import pictures_of_slides
from histoweave.pages.concepts.page import write_concept_report
from histoweave.pages.report.as_json import write_report_json
from histoweave.pages.report.figures import draw_figures
from histoweave.pages.report.inputs import ReportInputs, read_tables
from histoweave.pages.report.page import write_report
from histoweave.privacy import __main__ as command
from histoweave.privacy.pseudonyms import Pseudonyms, pseudonym
from histoweave.privacy.share import check_shared, cohort_pseudonyms, concept_pseudonyms, shared_inputs
from histoweave.slides.outlines import text_picture, write_png
from histoweave.storage.files import read_table, write_table

KEY = "a key of the hospital, kept secret"
PARAMS = {"key_env": "HISTOWEAVE_PSEUDONYM_KEY", "key": "x", "columns": ["site", "age"]}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("HISTOWEAVE_PSEUDONYM_KEY", KEY)


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
        names = cohort_pseudonyms(PARAMS, patients=run.patients, slides=run.slides)
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
    assert {key for key in one if one[key] != other[key]} <= {
        "pseudonyms", "config", "inputs_sha256", "metrics", "decide", "findings", "control_summary"
    }  # fmt: skip
    word = shared.names.values.word
    hidden_scopes = [
        {**row, "scope": f"site:{word(row['scope'][5:], 'site')}" if row["scope"].startswith("site:") else row["scope"]}
        for row in one["metrics"]
    ]

    def in_order(rows):
        return sorted(json.dumps(row, sort_keys=True) for row in rows)

    assert in_order(hidden_scopes) == in_order(other["metrics"])


def test_report_json_and_figures_hold_no_site_and_no_hidden_covariate(run, shared):
    sites = sorted(read_table(run.patients)["site"].unique())
    assert sites == ["ZA", "ZB", "ZC", "ZD"]
    page = re.sub(r"[A-Za-z0-9+/=]{40,}", " ", shared.page)
    for text in (page, shared.machine, shared.figures):
        assert not re.search(r"(?<![A-Za-z0-9])Z[ABCD](?![A-Za-z0-9])", text)
        assert "up to 51" not in text and "over 64" not in text
    words = {shared.names.values.word(site, "site") for site in sites}
    assert all(word in shared.page and word in shared.machine and word in shared.figures for word in words)


def test_without_privacy_nothing_changes(run):
    assert shared_inputs(run, cohort_pseudonyms({}, patients=run.patients)) is run


def test_a_leak_ends_the_job(shared, tmp_path):
    names = shared.names
    page = tmp_path / "report.html"
    page.write_text("<p>as in TCGA-ZA-0007</p>")
    with pytest.raises(RuntimeError, match="1 original ids or hidden values, such as 'TCGA-ZA-0007'"):
        check_shared(page, names)
    for leak in ("AUROC of site:ZA", "site 'ZA' is worse", "site &#39;ZA&#39;"):
        page.write_text(leak)
        with pytest.raises(RuntimeError, match="'ZA'"):
            check_shared(page, names)
    page.write_text("sites ZA-block")
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
    params = PARAMS | {"columns": ["site", "granules"]}
    names = concept_pseudonyms(params, images, kind="cell" if source == "cells" else "slide")
    write_concept_report(shared_inputs(inputs, names), tmp_path / "hidden.html")
    write_concept_report(inputs, tmp_path / "shown.html")
    hidden, shown = ((tmp_path / name).read_text(encoding="utf-8") for name in ("hidden.html", "shown.html"))
    ids = {identifier for each in images for column in ("image", "patient") for identifier in each[column]}
    shown_ids = [identifier for identifier in ids if html_module.escape(identifier) in shown]
    assert len(shown_ids) > 20
    for identifier in ids:
        assert identifier not in hidden and html_module.escape(identifier) not in hidden, identifier
        assert identifier.lower() not in hidden.lower()
    for value in set(images[0]["granules"]) - {"", "none"} if source == "cells" else ():
        place = rf"[>\"(]\s*{value}\s*[<\")]"
        assert re.search(place, shown) and not re.search(place, hidden)
        assert names.values.word(value, "granules") in hidden
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


@pytest.mark.parametrize(("labelled", "odd"), [(True, ""), (False, ""), (True, "abstained"), (True, "insisted")])
def test_the_page_of_an_external_cohort_holds_no_original_id(tmp_path, labelled, odd):
    inputs = write_applied_run(tmp_path, labelled=labelled, odd=odd)
    patients = read_table(inputs.predictions)["patient"].unique()
    write_table(tmp_path / "patients.parquet", pd.DataFrame({"patient": patients}))
    names = cohort_pseudonyms(PARAMS, patients=tmp_path / "patients.parquet")
    write_applied(shared_inputs(inputs, names), tmp_path / "hidden.html")
    write_applied_json(shared_inputs(inputs, names), tmp_path / "hidden.json")
    text, machine = ((tmp_path / f"hidden.{form}").read_text(encoding="utf-8") for form in ("html", "json"))
    assert not any(patient in text or patient in machine for patient in patients)
    assert "ward 0" not in machine and "site-" in machine
    assert "ward 0" not in text and "ward 1" not in text and "site-" in text
    assert all(given_name in text for given_name in names.mapping.values())


def test_the_mapping_is_printed_for_who_asks(run, tmp_path, capsys):
    folder = tmp_path / "cohort"
    write_table(folder / "patients.parquet", read_table(run.patients))
    write_table(folder / "slides.parquet", read_table(run.slides))
    command.main([str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    expected = pseudonym("TCGA-ZA-0001", "patient", key=KEY.encode())
    assert lines[0] == "id\tpseudonym" and f"TCGA-ZA-0001\t{expected}" in lines and len(lines) == 125
    assert [line for line in lines if line.startswith("site:ZA\tsite-")]


def test_the_mapping_of_a_cohort_of_cells_is_printed_too(tmp_path, capsys):
    images = pd.DataFrame({"image": ["A1-7"], "patient": ["A1"], "site": ["Heidelberg"]})
    write_table(tmp_path / "sae" / "cells" / "images.parquet", images)
    command.main([str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["id", "A1", "A1-7", "site:Heidelberg"]
    with pytest.raises(SystemExit, match=r"error: .* holds no patients and no images"):
        command.main([str(tmp_path / "elsewhere")])


def test_no_number_of_a_page_reads_like_an_id_of_digits(shared):
    """Every run of six digits of a report and its figures as the id of a patient: none of them stands for one."""
    digits = set(re.findall(r"(?<!\d)\d{6}(?!\d)", shared.page + shared.machine + shared.figures))
    names = Pseudonyms(KEY.encode(), {"patient": digits})
    assert len(digits) > 1000
    assert [names.leaks(text) for text in (shared.page, shared.machine, shared.figures)] == [[], [], []]
