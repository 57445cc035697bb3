"""Which scanner made a slide: what is read of it, what is kept of training, and what drift says of another one."""

import math
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile
from apply_data import made_bundle, made_home
from running import SHARED, needs_shared_data

from histoweave.apply import reference
from histoweave.apply.read import opened
from histoweave.apply.scanners import COLUMNS, TOLERATED, UNSEEN, compare_scanners, scanner_shares, unseen
from histoweave.interop.formats import stated
from histoweave.pages.applied.page import drift_by_site, drift_table, scanner_table
from histoweave.slides.reader import open_slide
from histoweave.slides.scanner import UNKNOWN, Scanner, scanner_of
from histoweave.slides.store import tile_attributes
from histoweave.storage.files import read_table

PIXELS = np.random.default_rng(0).integers(0, 255, (512, 512, 3), np.uint8)
APERIO = "Aperio Leica Biosystems GT450 v1.0.0\n512x512 [0,0 512x512] (256x256) JPEG|AppMag = 40|Date = 01/02/2020"
APERIO += "|User = somebody|ScanScope ID = SS12345|ScannerType = GT450"


def write_tiff(path, *, description=None, tags=()):
    """A small tiled TIFF, as OpenSlide opens it."""
    extra = [(code, "s", 0, text, True) for code, text in tags]
    tifffile.imwrite(path, PIXELS, tile=(256, 256), photometric="rgb", compression="jpeg", description=description,
                     metadata=None, software=False, extratags=extra)  # fmt: skip
    return path


def test_maker_and_model_are_read_from_files(tmp_path):
    svs = scanner_of(open_slide(write_tiff(tmp_path / "a.svs", description=APERIO)).properties)
    assert svs == Scanner("aperio", "GT450", 40.0), "neither the machine's serial number nor user and date"
    tagged = write_tiff(tmp_path / "b.tiff", tags=[(271, "Maker  of\nscanners"), (272, "M 1")])
    found = scanner_of(open_slide(tagged).properties)
    assert (found.vendor, found.model) == ("Maker of scanners", "M 1") and math.isnan(found.objective_power)
    nothing = scanner_of(open_slide(write_tiff(tmp_path / "c.tiff")).properties)
    assert (nothing.vendor, nothing.model) == ("", "")


def test_our_own_features_from_elsewhere_keep_the_scanner(tmp_path):
    scanner = Scanner("aperio", "GT450", 40.0)
    attributes = tile_attributes(slide="s", tile_px=64, target_mpp=0.5, overlap_px=0, edge_lv0=64, scanner=scanner)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("coords", data=np.zeros((1, 2), np.int64)).attrs.update(attributes)
        assert stated(file).scanner == scanner


@pytest.mark.parametrize(
    "properties, expected",
    [
        ({"openslide.vendor": "leica", "leica.device-model": "Leica SCN400;SCN99"}, ("leica", "Leica SCN400")),
        ({"openslide.vendor": "aperio", "aperio.ScanScope ID": "SS1"}, ("aperio", "")),
        ({"openslide.vendor": "dicom", "dicom.ManufacturerModelName": "X"}, ("", "X")),
        ({"openslide.vendor": "dicom", "dicom.Manufacturer": "M"}, ("M", "")),
        ({"openslide.vendor": "philips", "philips.DICOM_MANUFACTURERS_MODEL_NAME": "UFS"}, ("philips", "UFS")),
        ({"openslide.vendor": "ventana", "ventana.ScannerModel": "x" * 65}, ("ventana", "")),
        ({}, ("", "")),
    ],
)  # fmt: skip
def test_what_properties_tell(properties, expected):
    found = scanner_of(properties | {"openslide.objective-power": "none"})
    assert (found.vendor, found.model) == expected and math.isnan(found.objective_power)


@needs_shared_data
@pytest.mark.parametrize(
    "name, expected",
    [
        ("CMU-1-Small-Region.svs", Scanner("aperio", "", 20.0)),
        ("test3-TRITC 2 (560).ndpi", Scanner("hamamatsu", "C9600-12", 40.0)),
        (
            "boxes_0_dicom/boxes_0.dcm",
            Scanner("Leica Biosystems", "Aperio converted by com.pixelmed.convert.TIFFToDicom", 20.0),
        ),
    ],
)
def test_real_slides(name, expected):
    assert scanner_of(open_slide(SHARED / "wsi_slides" / name).properties) == expected


def slides(*scanners, status="ok"):
    """One slide and one patient per (vendor, model)."""
    table = pd.DataFrame(scanners, columns=["scanner_vendor", "scanner_model"], dtype=object)
    return table.assign(patient=[f"p{i}" for i in range(len(table))], status=status)


def shares(**of):
    """A training table; names are `vendor_model`."""
    rows = [(*name.split("_"), share) for name, share in of.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_shares_are_of_usable_slides():
    table = pd.concat([slides(("a", "1"), ("a", "1"), ("", ""), ("b", "2")), slides(("c", "3"), status="no_tissue")])
    found = scanner_shares(table)
    assert found["vendor"].tolist() == ["a", "", "b"] and found["share"].tolist() == [0.5, 0.25, 0.25]
    assert list(scanner_shares(table.iloc[:0])) == list(COLUMNS)


def test_what_cannot_be_told_is_neither_seen_nor_unseen():
    training = shares(a_1=0.5, b_=0.5)
    judged = unseen(slides(("a", "1"), ("a", "2"), ("a", ""), ("b", ""), ("b", "9"), ("c", ""), ("", "")), training)
    assert judged.tolist() == [False, True, None, False, None, True, None]


def test_another_scanner_is_judged_above_the_limit():
    nine, more = [("a", "1")] * 9, [("c", "7")]
    share, n, odd, words = compare_scanners(slides(*nine, *more), shares(a_1=1.0))
    assert (share, n, odd) == (
        TOLERATED,
        10,
        False,
    ) and "1 of 10 slides, from c 7 (1); in training: a 1 (100%)" in words
    share, n, odd, words = compare_scanners(slides(*nine, *more * 2, ("", "")), shares(a_1=1.0))
    assert share == pytest.approx(2 / 11) and n == 11 and odd and "unknown for 1 more slides" in words
    # Where training's own scanners are unknown, nothing is new.
    share, _, odd, words = compare_scanners(slides(*more * 5), shares(a_1=0.5, _=0.5))
    assert share == 1 and not odd and "not flagged" in words and "unknown (50%)" in words
    many = compare_scanners(slides(*[("z", str(i)) for i in range(15)]), shares(a_1=1.0))[3]
    assert "5 others" in many


@pytest.mark.parametrize("training", [None, shares(a_1=1.0)])
def test_unknown_scanners_are_called_unknown(training):
    given = slides(("", "")) if training is not None else slides(("a", "1"))
    share, n, odd, words = compare_scanners(given, training)
    assert math.isnan(share) and n == 0 and not odd and words.startswith("unknown: ")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return made_home(tmp_path_factory)


def test_a_bundle_names_the_scanners_of_training(home):
    with opened(home[2]) as bundle:
        table = read_table(bundle.path(reference.SCANNERS))
        card = bundle.path("MODEL_CARD.md").read_text()
    assert table.to_dict("records") == [{"vendor": "aperio", "model": "GT450", "share": 1.0}]
    assert "aperio GT450 (100%)" in card


def test_drift_tells_the_scanner_per_site(home, tmp_path):
    _, others, bundle = home
    same = others.compare(bundle, tmp_path)[1].set_index(["feature", "site"])
    assert same.loc[(UNSEEN, "all"), "value"] == 0 and not same.loc[UNSEEN, "flagged"].any()
    sites = others.patients.set_index("patient")["site"].astype(str)
    moved = sites.value_counts().index[0]
    there = others.slides["patient"].map(sites) == moved
    model = others.slides["scanner_model"].where(~there, "AT2")
    table = replace(others, slides=others.slides.assign(scanner_model=model)).compare(bundle, tmp_path)[1]
    found = table[table["feature"] == UNSEEN].set_index("site")
    assert found.loc[moved, "value"] == 1 and found.loc[moved, "flagged"] and "aperio AT2" in found.loc[moved, "says"]
    assert found.loc["all", "value"] == pytest.approx(there.mean()) and (found.drop([moved, "all"])["value"] == 0).all()
    shown = scanner_table(table)
    assert [row[0].text for row in shown.rows] == ["all sites", *found.index[1:]]
    assert {row[2].text for row in shown.rows} == {"outside", "within"}


def test_a_bundle_without_scanners_still_applies(home, tmp_path, monkeypatch):
    """As bundles were before scanners were looked at."""
    training, others, _ = home
    monkeypatch.setattr("histoweave.apply.training_reference.write_table", _all_but_scanners)
    old = made_bundle(tmp_path, replace(training, slides=training.slides.assign(**UNKNOWN.attributes())))
    table = others.compare(old, tmp_path)[1]
    found = table[table["feature"] == UNSEEN]
    assert found["value"].isna().all() and not found["flagged"].any()
    assert found["says"].str.contains("the bundle does not record").all()
    words = {row[1].text: row[5].text for row in drift_table(table)[0].rows}
    assert words[UNSEEN] == "unknown" and scanner_table(table).rows[0][1].text == "–"
    n = int((table["site"].eq("all") & table["modality"].eq("slides")).sum()) - 1
    assert next(row[1].text for row in drift_by_site(table).rows if row[0].text == "slides").endswith(f"of {n}")


def _all_but_scanners(path, table):
    from histoweave.storage.files import write_table

    if path.name != "scanners.parquet":
        write_table(path, table)
