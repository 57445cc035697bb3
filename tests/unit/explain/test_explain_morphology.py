"""Which tiles are looked at, what is written of a slide, and what is said of the classes."""

from __future__ import annotations

import io

import numpy as np
import openslide
import pandas as pd
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from histoweave.explain import slide_morphology
from histoweave.explain.explain_morphology import (
    SHOWN_TILES,
    class_tiles,
    morphology_table,
    patient_means,
    seen_tiles,
    summarise,
)
from histoweave.explain.morphology_file import SlideMorphology, no_tiles, read_morphology, write_morphology
from histoweave.explain.slide_morphology import PICTURE_BYTES, PICTURE_PX, look_at_slides, small_picture
from histoweave.explain.tile_choice import SAMPLED_TILES, chosen_tiles
from histoweave.explain.tile_measures import MEASURES
from histoweave.pages.report.why import morphology as morphology_views
from histoweave.slides.store import TileTable, tile_attributes, write_tiles
from histoweave.storage.files import write_json
from histoweave.storage.records import artefacts, read_index, untrue_indexes

HOW = {"draws": 1000, "confidence": 0.95, "seed": 6}

# ---------------------------------------------------------------- which tiles


def attributed(sizes: dict[tuple[str, str], int], *, seed: int = 0) -> pd.DataFrame:
    """`fold<k>/tiles.parquet`: (patient, slide) → number of tiles."""
    rng = np.random.default_rng(seed)
    rows = [(patient, slide, 100 * i, 0) for (patient, slide), n in sizes.items() for i in range(n)]
    table = pd.DataFrame(rows, columns=["patient", "slide", "x_lv0", "y_lv0"])
    table["a_pos"] = rng.normal(0, 1, len(table))
    return table.assign(a_neg=-table["a_pos"])


SIZES = {("p", "p1"): 60, ("p", "p2"): 40, ("q", "q1"): 5}
LABELS = {"p": "pos", "q": "neg"}


def choose(slides, **changes):
    arguments = {"top_tiles": 8, "seed": 6} | changes
    return chosen_tiles(attributed(SIZES), LABELS, slides=slides, **arguments)


def test_the_ends_of_the_ranking_for_the_patients_own_class_and_a_sample():
    table, tiles = choose(["p1", "p2", "q1"]), attributed(SIZES)
    own = tiles[tiles["patient"] == "p"].sort_values("a_pos", ascending=False)
    p = table[table["patient"] == "p"]
    places = ["slide", "x_lv0"]
    for flag, part in (("leading", own[own["a_pos"] > 0].head(8)), ("trailing", own[own["a_pos"] < 0].tail(8))):
        assert set(map(tuple, p.loc[p[flag], places].to_numpy())) == set(map(tuple, part[places].to_numpy()))
    assert p["sampled"].sum() == SAMPLED_TILES and (p["leading"] | p["trailing"] | p["sampled"]).all()
    expected = (own["a_pos"] - own["a_pos"].mean()) / own["a_pos"].std(ddof=0)
    np.testing.assert_allclose(p.sort_values("z")["z"].iloc[-8:], expected.iloc[:8][::-1])
    q = table[table["patient"] == "q"]
    assert len(q) == 5 and (q["class"] == "neg").all() and q["sampled"].all()
    # Fewer than eight: each tile is on the side of its sign.
    assert (q["leading"] == (q["attribution"] > 0)).all() and (q["trailing"] == (q["attribution"] < 0)).all()
    assert q["leading"].any() and q["trailing"].any()
    np.testing.assert_array_equal(q["attribution"], tiles.loc[tiles["patient"] == "q", "a_neg"])


def test_the_choice_depends_on_the_patient_and_the_seed_alone():
    together = choose(["p1", "p2", "q1"])
    apart = pd.concat([choose(["p1"]), choose(["p2"]), choose(["q1"])], ignore_index=True)
    pd.testing.assert_frame_equal(together, apart)
    others = choose(["p1", "p2", "q1"], seed=7)
    assert not together.loc[together["sampled"], "x_lv0"].equals(others.loc[others["sampled"], "x_lv0"])
    assert choose(["gone"]).empty


def test_the_sample_is_even():
    """Each of 100 tiles is drawn with probability 0.32."""
    drawn = pd.concat([choose(["p1", "p2"], seed=seed).query("sampled") for seed in range(100)])
    counts = drawn.groupby(["slide", "x_lv0"]).size()
    assert len(counts) == 100 and counts.sum() == 100 * SAMPLED_TILES
    assert (counts - 32).abs().max() < 4.5 * np.sqrt(100 * 0.32 * 0.68)


# ---------------------------------------------------------------- a slide's file


@pytest.fixture
def slide(tmp_path):
    """A slide of 4 × 4 tiles of 64 px: nuclei on the left half. Returns its path, its tiles, and the folder of tiles."""
    y, x = np.mgrid[:256, :256]
    disc = ((x % 32 - 16) ** 2 + (y % 32 - 16) ** 2 < 64) & (x < 128)
    pixels = np.where(disc[..., None], (90, 60, 130), (225, 180, 205)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "scan.tiff", pixels, tile=(128, 128), photometric="rgb", metadata=None)
    corners = np.array([[col, row] for row in range(0, 256, 64) for col in range(0, 256, 64)])
    attributes = tile_attributes(
        slide="scan", tile_px=64, target_mpp=0.5, overlap_px=0, size_lv0=(256, 256), edge_lv0=64
    )
    for name, source in (("scan", "slide"), ("bare", "features_file"), ("gone", "slide")):
        write_tiles(tmp_path / f"tiles/{name}.h5", TileTable(name, source, attributes, coords=corners))
    outcome = {"status": "ok", "reason": "", "content": "c", "n_tiles": 16, "n_failed_tiles": 0}
    records = [{"slide": name, "outcome": outcome, "sources": {}, "files": {}} for name in ("bare", "gone", "scan")]
    write_json(tmp_path / "tiles/shards/0-of-1.json", records)
    return tmp_path, corners


def chosen_on(corners, names=("scan", "bare", "gone")) -> pd.DataFrame:
    left = corners[:, 0] < 128
    parts = [
        pd.DataFrame(corners, columns=["x_lv0", "y_lv0"]).assign(
            patient=name, slide=name, attribution=np.where(left, 1.0, -1.0), z=0.0, leading=left, trailing=False,
            sampled=~left, **{"class": "pos"},
        )
        for name in names
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def run(slide, chosen=None, code="c"):
    folder, corners = slide
    return look_at_slides(
        chosen_on(corners) if chosen is None else chosen,
        paths={"scan": str(folder / "scan.tiff"), "bare": "", "gone": str(folder / "gone.tiff")},
        explained={"scan", "bare", "gone"}, folder=folder / "explain", shard="0-of-1",
        tiles_index=folder / "tiles/shards/0-of-1.json", code=code,
    )  # fmt: skip


def test_tiles_are_read_measured_and_pictured(slide):
    records = {record.slide: record.outcome for record in run(slide)}
    assert {name: outcome.status for name, outcome in records.items()} == {
        "scan": "ok", "bare": "no_pixels", "gone": "missing_file",
    }  # fmt: skip
    seen = {name: read_morphology(slide[0] / f"explain/morphology/{name}.h5") for name in records}
    assert seen["bare"].tiles.empty and "from another program" in seen["bare"].reason and seen["gone"].tiles.empty
    tiles = seen["scan"].tiles
    assert len(tiles) == 16 and list(tiles.columns) == [*no_tiles().columns]
    leading, others = tiles[tiles["leading"]], tiles[~tiles["leading"]]
    assert leading["nuclei_share"].to_numpy() == pytest.approx(np.pi * 8**2 / 32**2, rel=0.05)
    assert leading["nuclei_per_mm2"].to_numpy() == pytest.approx(4 / 0.032**2)
    assert not others["nuclei_share"].any() and (others["picture"] == b"").all()
    with (
        openslide.open_slide(slide[0] / "scan.tiff") as scan,
        Image.open(io.BytesIO(leading["picture"].iloc[0])) as shown,
    ):
        corner = (int(leading["x_lv0"].iloc[0]), int(leading["y_lv0"].iloc[0]))
        expected = np.asarray(scan.read_region(corner, 0, (64, 64)))[..., :3].astype(int)
        assert shown.format == "WEBP" and np.abs(np.asarray(shown.convert("RGB")).astype(int) - expected).mean() < 12


def test_only_slides_whose_tiles_or_code_changed_are_looked_at_again(slide, monkeypatch):
    looked = []
    look = slide_morphology.look
    monkeypatch.setattr(slide_morphology, "look", lambda rows, **more: looked.append(1) or look(rows, **more))
    run(slide)
    assert len(looked) == 3
    run(slide)
    assert len(looked) == 4  # the lost slide is asked for again
    chosen = chosen_on(slide[1])
    chosen.loc[chosen["slide"] == "scan", "attribution"] *= 2
    run(slide, chosen)
    assert len(looked) == 6
    index = slide[0] / "explain/morphology/shards/0-of-1.json"
    (slide[0] / "explain/morphology/scan.h5").unlink()
    assert untrue_indexes([index]) == {index: ["scan"]}


def test_a_slide_that_fails_unexpectedly_or_has_no_chosen_tile_ends_nothing(slide, monkeypatch):
    records = run(slide, chosen_on(slide[1], names=("bare",)))
    assert {record.slide: record.outcome.status for record in records} == {
        "bare": "no_pixels", "gone": "ok", "scan": "ok",
    }  # fmt: skip
    monkeypatch.setattr(slide_morphology, "measure", lambda *_, **__: 1 / 0)
    outcomes = {record.slide: record.outcome for record in run(slide)}
    assert outcomes["scan"].status == "failed" and "ZeroDivisionError" in outcomes["scan"].reason
    assert read_morphology(slide[0] / "explain/morphology/scan.h5").status == "failed"
    assert len(read_index(slide[0] / "explain/morphology/shards/0-of-1.json")) == 3


def test_a_picture_is_small_whatever_it_shows():
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    for image in (noise, noise[:PICTURE_PX, :PICTURE_PX], noise[:20, :20]):
        encoded = small_picture(image)
        with Image.open(io.BytesIO(encoded)) as shown:
            assert len(encoded) <= PICTURE_BYTES and max(shown.size) <= min(PICTURE_PX, len(image))


def test_a_file_comes_back_as_it_was_written(tmp_path):
    tiles = no_tiles()
    write_morphology(tmp_path / "a.h5", SlideMorphology("a", tiles, "missing_file", "it is gone"))
    seen = read_morphology(tmp_path / "a.h5")
    assert (seen.slide, seen.status, seen.reason) == ("a", "missing_file", "it is gone")
    pd.testing.assert_frame_equal(seen.tiles, tiles)


# ---------------------------------------------------------------- what is said of the classes


def measured(n_patients: int, *, shift: float, seed: int = 0, tiles: int = 10) -> pd.DataFrame:
    """Tiles of patients of class `pos` (even) and `neg`: five leading ones, which are `shift` higher in `pos`."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n_patients):
        name = "neg" if number % 2 else "pos"
        leading = np.arange(tiles) < tiles // 2
        values = rng.normal(number, 1, (tiles, len(MEASURES))) + shift * (leading & (name == "pos"))[:, None]
        part = pd.DataFrame(values, columns=list(MEASURES))
        rows.append(part.assign(
            patient=f"p{number:02d}", slide=f"s{number:02d}", x_lv0=np.arange(tiles), y_lv0=0, attribution=values[:, 0] + 5,
            z=np.linspace(3, -3, tiles) + number / 100, leading=leading, trailing=~leading, sampled=~leading,
            picture=b"x", **{"class": name},
        ))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def test_the_difference_is_taken_within_patients():
    tiles = measured(40, shift=2.0)
    table = morphology_table(tiles, {"neg": 20, "pos": 20}, **HOW).set_index(["class", "measure"])
    leading, other = patient_means(tiles)
    own = [f"p{number:02d}" for number in range(0, 40, 2)]
    row = table.loc[("pos", "eosin_od")]
    apart = (leading - other).loc[own, "eosin_od"]
    sd = tiles.loc[tiles["sampled"], "eosin_od"].std()
    assert row["difference"] == pytest.approx(apart.mean()) and row["mean"] == pytest.approx(apart.mean() / sd)
    assert row["other"] == pytest.approx(other.loc[own, "eosin_od"].mean()) and row["sd"] == pytest.approx(sd)
    # Patients lie 0 to 39 apart; within them the interval is that of a mean of differences.
    half = 1.96 * apart.std() / np.sqrt(len(apart))
    assert row["difference_high"] - row["difference_low"] == pytest.approx(2 * half, rel=0.15)
    assert row["ci_low"] == pytest.approx(row["difference_low"] / sd) and row["difference_low"] > 1
    assert (table.loc["pos", "n"] == 20).all() and (table["note"] == "").all()
    assert sorted(table.loc["neg", "rank"]) == list(range(1, len(MEASURES) + 1))
    neg = table.loc["neg"]
    assert ((neg["ci_low"] < 0) & (neg["ci_high"] > 0)).sum() >= len(MEASURES) - 2


def test_what_cannot_be_measured_says_so():
    tiles = measured(24, shift=1.0)
    tiles["nucleus_area_um2"] = np.nan
    tiles.loc[tiles["patient"] > "p02", "nuclei_per_mm2"] = np.nan
    tiles["eosin_od"] = 0.25
    table = morphology_table(tiles, {"neg": 12, "pos": 30, "new": 0}, **HOW).set_index(["class", "measure"])
    notes = table["note"]
    assert notes["pos", "nucleus_area_um2"] == "not measured: it has a value in 0 of 30 patients"
    assert notes["pos", "nuclei_per_mm2"] == "not measured: it has a value in 2 of 30 patients"
    assert notes["pos", "eosin_od"] == "not measured: it is the same in all tiles"
    assert notes["pos", "haematoxylin_od"] == "" and (table.loc["new", "n"] == 0).all()
    assert table.loc["pos"].query("rank <= 4")["mean"].notna().all()
    few = morphology_table(measured(8, shift=1.0), {"neg": 4, "pos": 4}, **HOW)
    assert few["mean"].notna().all() and few["ci_low"].isna().all()
    assert set(few["note"]) == {"4 patients are too few for an interval"}


@given(st.permutations(range(8)))
@settings(max_examples=10, deadline=None)
def test_the_order_of_slides_does_not_matter(order):
    """Not even in the last digit: sums of floats depend on it."""
    slides = [
        SlideMorphology(slide, rows.drop(columns=["patient", "slide", "class"]))
        for slide, rows in measured(8, shift=1.0).groupby("slide")
    ]
    patients = {each.slide: f"p{number // 2}" for number, each in enumerate(slides)}
    labels = {f"p{number}": "neg" if number % 2 else "pos" for number in range(4)}
    expected, found = (
        morphology_table(seen_tiles(each, patients, labels), {"neg": 2, "pos": 2}, **HOW)
        for each in (slides, [slides[place] for place in order])
    )
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_strips_hold_the_tiles_that_stand_out_most_at_most_two_of_a_patient():
    tiles = measured(14, shift=0.0)
    tiles.loc[tiles["patient"] == "p12", "attribution"] = -1.0  # none of its tiles speaks for the class
    strips = class_tiles(tiles, ["neg", "pos"])
    pos = strips[strips["class"] == "pos"]
    assert pos["rank"].tolist() == list(range(1, SHOWN_TILES + 1)) and "p12" not in set(pos["patient"])
    assert pos["patient"].value_counts().max() == 2 and (pos["z"].diff().dropna() <= 0).all()
    candidates = tiles[(tiles["class"] == "pos") & tiles["leading"] & (tiles["attribution"] > 0)]
    assert pos["z"].iloc[0] == candidates["z"].max() and (strips["picture"] == b"x").all()


def test_a_cohort_without_pixels_has_tables_without_numbers(slide):
    run(slide, chosen_on(slide[1], names=("bare",)))
    index = slide[0] / "explain/morphology/shards/0-of-1.json"
    patients = pd.DataFrame({"patient": ["a", "b"], "y_true": "pos", "top_tiles": [[{"x_lv0": 0}], []]})
    slides = pd.DataFrame({"slide": ["bare", "gone", "scan"], "patient": ["a", "b", "b"]})
    tables = summarise(artefacts([index]), slides=slides, patients=patients, classes=["neg", "pos"], **HOW)
    assert len(tables["morphology"]) == 2 * len(MEASURES) and tables["morphology"]["mean"].isna().all()
    assert tables["class_tiles"].empty
    said = morphology_views.says("pos", tables["morphology"][tables["morphology"]["class"] == "pos"])
    assert said == "pos: nothing could be measured (it has a value in 0 of 1 patients)."


# ---------------------------------------------------------------- in words


def row(measure, rank, difference, half, sd=1.0, note=""):
    return {
        "class": "LumA", "measure": measure, "unit": MEASURES[measure], "rank": rank, "n": 30, "note": note, "sd": sd,
        "difference": difference, "difference_low": difference - half, "difference_high": difference + half,
        "mean": difference / sd, "ci_low": (difference - half) / sd, "ci_high": (difference + half) / sd, "other": 1.0,
    }  # fmt: skip


def test_a_class_in_a_sentence():
    rows = [
        row("eosin_od", 2, -0.05, 0.01), row("nuclei_per_mm2", 1, 1310.4, 200), row("nuclei_share", 3, 0.1, 0.2),
    ]  # fmt: skip
    assert morphology_views.says("LumA", pd.DataFrame(rows)) == (
        "LumA: compared with other tiles of the same patients, the tiles that speak for the class have more nuclei (+1,310 "
        "per mm², +1,110 to +1,510) and less eosin (-0.05, -0.06 to -0.04)."
    )
    assert "no measure differs clearly" in morphology_views.says("LumA", pd.DataFrame(rows[2:]))
    few = pd.DataFrame([row("eosin_od", 1, -0.05, np.nan)])
    assert "too few patients (30)" in morphology_views.says("LumA", few)


def test_every_measure_has_words():
    assert list(morphology_views.TITLES) == list(MEASURES) == list(morphology_views._WORDS)
