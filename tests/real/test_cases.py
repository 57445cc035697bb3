"""Small inputs on which the product once failed, as they were reported: the right value, a true reason, or one line."""

import importlib.util
import os
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from running import ROOT

from histoweave.cells.pictures import PictureReader, Place
from histoweave.cohort.tables import read_patients
from histoweave.errors import InputError
from histoweave.expression.prepare import prepare_expression
from histoweave.settings.cohorts import Cohort, ExpressionInput
from histoweave.settings.tiles import Tiles
from histoweave.slides.store import read_tiles
from histoweave.storage.refusal import Refusal
from histoweave.tiles.tile_slides import tile_shard

CASES = ROOT.parent / "shared" / "cases"
# Skipped where they are absent, but never in CI: there the tests fail without them.
pytestmark = pytest.mark.skipif(
    not CASES.is_dir() and "CI" not in os.environ,
    reason="the reported cases are not beside this checkout (../shared/cases)",
)


@pytest.fixture
def case(tmp_path, monkeypatch, request):
    """A copy of the case that the test names, as working directory; its input is made anew where a script makes it."""
    folder = tmp_path / request.param
    shutil.copytree(CASES / request.param, folder)
    monkeypatch.chdir(folder)
    if (folder / "make.py").is_file():
        spec = importlib.util.spec_from_file_location("make", folder / "make.py")
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        sys.modules.pop("make", None)
    return folder


def expression(path, patients, **more):
    return prepare_expression(
        ExpressionInput(path=str(path), unit="counts", **more), patients=set(patients), tcga=False
    )


@pytest.mark.parametrize("case", ["rna_trailing_delimiter"], indirect=True)
def test_delimiters_at_the_end_of_lines_move_nobody(case):
    given = pd.read_csv("good.tsv", sep="\t", index_col=0)
    for name in ("good", "bad", "hash"):
        made = expression(f"{name}.tsv", given.columns)
        totals = made["samples"].set_index("sample")["total"]
        np.testing.assert_array_equal(totals[given.columns], given.sum())
        values = made["expression"].set_index("patient").loc[given.columns, given.index]
        expected = np.log2(1 + 1e6 * given / given.sum()).T
        np.testing.assert_allclose(values, expected, rtol=1e-12)


@pytest.mark.parametrize("case", ["tables_stray_quote"], indirect=True)
def test_a_stray_quotation_mark_is_named(case):
    (case / "p.tsv").write_text('patient\tlabel\tnote\nP1\tA\t"2nd opinion\nP2\tB\tok\nP3\tA\t"core" missing\n')
    with pytest.raises(InputError, match=r"p\.tsv, row 2: a quotation mark"):
        read_patients(Cohort(patients="p.tsv"))


@pytest.mark.parametrize("case", ["cell_bad_exif"], indirect=True)
def test_a_malformed_exif_block_costs_nothing(case):
    with PictureReader(edge_px=48, crop=1.0) as reader:
        found = reader.read_all([Place(str(path)) for path in sorted((case / "pics").glob("*.jpg"))])
    assert len(found) == 12 and all(picture.shape == (48, 48, 3) for picture in found)


@pytest.mark.parametrize("case", ["cell_zip_reason"], indirect=True)
def test_a_reason_names_no_object_in_memory(case):
    with PictureReader(edge_px=48, crop=1.0) as reader:
        *good, bad = reader.read_all(
            [Place("cells.zip", f"c{n}.png") for n in range(4)] + [Place("cells.zip", "__MACOSX/._c0.png")]
        )
    assert not any(isinstance(picture, Refusal) for picture in good)
    assert bad.status == "unreadable_cell" and " at 0x" not in bad.reason


def tile(path, *, mpp=None, out="out"):
    given = {"slide": "s", "path": str(path), "mpp": mpp, "coords": "", "features": ""}
    settings = Tiles(tile_px=64, segmentation_mpp=2.0)
    (record,) = tile_shard(
        [given],
        index=path.parent / out / "shards/0-of-1.json",
        settings=settings,
        on_error="continue",
        code="x",
        workers=1,
    )
    return record.outcome, read_tiles(path.parent / out / "s.h5")


@pytest.mark.parametrize("case", ["dicom_folder"], indirect=True)
def test_folders_of_dicom_files(case):
    def folder(name, **files):
        (case / name).mkdir()
        for new, old in files.items():
            shutil.copy(case / "in" / old, case / name / new.replace("__", "."))
        return case / name

    both = {"a__dcm": "slide1_full.dcm", "b__dcm": "slide1_small.dcm"}
    whole, tiles = tile(folder("one", **both), out="o1")
    assert whole.status == "ok" and len(tiles.coords)
    hidden = folder("hidden", **both)
    (hidden / "._a.dcm").write_bytes(b"\0\5\26\7" + bytes(78))
    bare = folder("bare", a="slide1_full.dcm", b="slide1_small.dcm")
    for at, same in enumerate((hidden, bare)):
        outcome, found = tile(same, out=f"same{at}")
        assert outcome.status == "ok"
        np.testing.assert_array_equal(found.coords, tiles.coords)
    outcome, _ = tile(folder("two", **both, Another__dcm="another_slide.dcm"), out="o3")
    assert outcome.status == "unreadable" and "series" in outcome.reason
    late = folder("late", b__dcm="slide1_small.dcm")
    assert len(tile(late / "b.dcm", out="o5")[1].coords) < len(tiles.coords)
    shutil.copy(case / "in" / "slide1_full.dcm", late / "a.dcm")
    np.testing.assert_array_equal(tile(late / "b.dcm", out="o5")[1].coords, tiles.coords)
