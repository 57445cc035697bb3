"""The projected tiles of a fold: written once, read by rows."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from fusion_cohort import FAST, Cohort, make_cohort, tile_files, write_features
from hypothesis import given
from hypothesis import strategies as st

from histoweave.errors import InputError
from histoweave.fusion import catalog, projection
from histoweave.fusion.bags import BagStore
from histoweave.fusion.batcher import Batcher, collate, gather
from histoweave.fusion.folds import fold_roles
from histoweave.fusion.fusion_fold import fold_patients
from histoweave.fusion.patients import PatientSet
from histoweave.fusion.projected import FoldTiles, TileFile
from histoweave.fusion.projection import project
from histoweave.fusion.tile_summary import read_summary, summarise
from histoweave.fusion.transforms import Transforms, fit_components
from histoweave.settings.fusion import Fusion


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    """P000 has no image, P001 two slides, P002 is in no fold."""
    whole = make_cohort(tmp_path_factory.mktemp("f"), seed=6, n=24, n_features=12, n_genes=10, n_folds=2)
    patients = whole.patients.copy()
    patients.loc[patients["patient"] == "P000", "has_image"] = False
    slides = whole.slides[whole.slides["patient"] != "P000"]
    slides = pd.concat([slides, slides[slides["patient"] == "P001"].assign(slide="P001-2")], ignore_index=True)
    folds = whole.folds[whole.folds["patient"] != "P002"]
    return dataclasses.replace(whole, patients=patients, slides=slides, folds=folds)


def files(cohort: Cohort, folder: Path, **changes) -> dict:
    known = {name: getattr(cohort, name) for name in ("patients", "slides", "folds")}
    return tile_files(folder, **({**known, "seed": 1, "settings": FAST} | changes))


@pytest.fixture(scope="module")
def made(cohort, tmp_path_factory) -> dict:
    return files(cohort, tmp_path_factory.mktemp("tiles"))


@pytest.mark.parametrize("components", [None, 3, 8])
def test_tiles_are_what_the_transform_of_the_training_patients_makes_of_the_features(cohort, tmp_path, components):
    settings = FAST.model_copy(update={"image_components": components})
    made = files(cohort, tmp_path, settings=settings)
    bags, summary = BagStore(cohort.slides), read_summary(made["summary"])
    for k, path in enumerate(made["projected"]):
        tiles, (_, _, roles) = FoldTiles.of(path), fold_roles(cohort.folds, k)
        assert set(tiles.patients) == set(roles.index) - {"P000"}
        train = sorted(set(roles.index[roles == "train"]) - {"P000"})
        assert tiles.file.fitted_on == train and tiles.transform.width == (components or 12)
        sample = summary.sample(train).astype(np.float64)
        np.testing.assert_allclose(tiles.transform.mean, sample.mean(axis=0), rtol=1e-9)
        for patient in tiles.patients:
            wanted = tiles.transform(bags.load(patient))
            found = tiles.load(patient)
            assert found.dtype == np.float32 and tiles.count(patient) == len(wanted)
            np.testing.assert_allclose(found, wanted, rtol=2**-11, atol=1e-7)
            rows = np.array([0, 3, len(wanted) - 1])
            assert np.array_equal(tiles.load(patient, rows), found[rows])


def test_the_components_of_all_networks_follow_the_training_patients(cohort, tmp_path):
    auto = files(cohort, tmp_path, settings=Fusion())
    assert FoldTiles.of(auto["projected"][0]).transform.width == 8  # fewer than a hundred


def test_nothing_of_other_patients_is_in_a_training_patient_s_rows(cohort, made, tmp_path):
    """Transform, training rows and rows of the validation loss: the same bytes if test patients hold garbage."""
    _, _, roles = fold_roles(cohort.folds, 0)
    slides = cohort.slides.copy()
    for row in slides[slides["patient"].isin(roles.index[roles == "test"])].itertuples():
        path = tmp_path / f"{row.slide}.h5"
        write_features(path, np.random.default_rng(0).choice([-1e30, 1e30], (20, 12)))
        slides.loc[row.Index, "features"] = str(path)
    before = FoldTiles.of(made["projected"][0])
    after = FoldTiles.of(files(dataclasses.replace(cohort, slides=slides), tmp_path / "t")["projected"][0])
    assert before.transform.equals(after.transform)
    for patient in set(roles.index[roles != "test"]) - {"P000"}:
        assert np.array_equal(before.load(patient), after.load(patient))
        assert np.array_equal(before.sample(patient), after.sample(patient))
    changed = [patient for patient in set(roles.index[roles == "test"]) - {"P000"}]
    assert changed and all(not np.array_equal(before.load(p)[:5], after.load(p)[:5]) for p in changed)
    assert np.isfinite(after.load(changed[0])).all()  # what float16 cannot hold is its largest number


def test_the_check_would_notice_a_leak(cohort, made, tmp_path):
    _, _, roles = fold_roles(cohort.folds, 0)
    slides = cohort.slides.copy()
    index = slides.index[slides["patient"].isin(roles.index[roles == "train"])][0]
    write_features(tmp_path / "odd.h5", np.full((40, 12), 1e6))
    slides.loc[index, "features"] = str(tmp_path / "odd.h5")
    after = FoldTiles.of(files(dataclasses.replace(cohort, slides=slides), tmp_path / "t")["projected"][0])
    assert not FoldTiles.of(made["projected"][0]).transform.equals(after.transform)


def test_features_are_read_once_for_the_summary_and_once_for_all_folds(cohort, tmp_path, monkeypatch):
    read: list[int] = []
    original = BagStore.blocks

    def counted(self, patient):
        for block in original(self, patient):
            read.append(len(block))
            yield block

    monkeypatch.setattr(BagStore, "blocks", counted)
    made = files(cohort, tmp_path)
    n_tiles = int(read_summary(made["summary"]).counts.sum())
    in_no_fold = BagStore(cohort.slides).count("P002")
    assert sum(read) == 2 * n_tiles - in_no_fold
    read.clear()
    for model in [name for name in catalog.names() if not catalog.get(name).needs]:
        cohort.run_on(made, model, 0, tmp_path / model)
    assert read == []


def test_the_validation_loss_has_a_fixed_sample(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(projection, "VALIDATION_TILES", 10)
    made = files(cohort, tmp_path)
    tiles = FoldTiles.of(made["projected"][0])
    again = FoldTiles.of(files(cohort, tmp_path / "b")["projected"][0])
    other = FoldTiles.of(made["projected"][1])
    for patient in tiles.patients:
        rows = tiles.sample(patient)
        assert len(rows) == 10 and (np.diff(rows) > 0).all() and rows[-1] < tiles.count(patient)
        assert np.array_equal(rows, again.sample(patient))
    assert any(not np.array_equal(tiles.sample(p), other.sample(p)) for p in tiles.patients)


def test_two_runs_give_the_same_bytes(cohort, made, tmp_path):
    again = files(cohort, tmp_path)
    for one, two in zip(made["projected"], again["projected"], strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_no_folds_and_no_training_image_give_a_file_without_tiles(cohort, tmp_path):
    summary = summarise(cohort.patients, cohort.slides, seed=1)
    project(summary, cohort.slides, cohort.folds.iloc[:0], settings=FAST, seed=1, out=[tmp_path / "none.h5"])
    assert TileFile(tmp_path / "none.h5").patients == [] and TileFile(tmp_path / "none.h5").transform is None
    test_only = cohort.folds.assign(role="test")
    project(summary, cohort.slides, test_only, settings=FAST, seed=1, out=[tmp_path / "test.h5"])
    tiles = FoldTiles.of(tmp_path / "test.h5")
    assert tiles.transform is None and tiles.patients


def test_only_the_patients_of_a_set_can_be_read(cohort, made):
    tiles = FoldTiles.of(made["projected"][0])
    some = tiles.subset(["P003", "P000"])
    assert "P003" in some and "P004" not in some and "P000" not in some
    for ask in (some.load, some.count, some.sample):
        with pytest.raises(KeyError):
            ask("P004")


def test_tiles_of_another_fold_are_refused(cohort, made):
    tables = {name: getattr(cohort, name) for name in ("patients", "slides", "expression", "classes")}
    _, _, roles = fold_roles(cohort.folds, 0)
    with pytest.raises(InputError, match=r"fold1\.h5: was made for other folds; delete it"):
        fold_patients(roles, catalog.get("image"), **tables, summary=made["summary"], projected=made["projected"][1])


def test_a_model_with_another_transform_reads_the_features(cohort, made, caplog):
    """Such as one that is made of a regression on mean tiles: the projected tiles are not its own."""
    tables = {name: getattr(cohort, name) for name in ("patients", "slides", "expression", "classes")}
    own = PatientSet.of(**tables, tiles=FoldTiles.of(made["projected"][0])).subset(["P003"])
    other = fit_components(np.random.default_rng(0).normal(size=(30, 12)), components=2, seed=0)
    batch = Batcher(own, Transforms(other, None)).batch(["P003"], ["P003"])
    assert np.array_equal(batch.tiles[0].numpy(), other(BagStore(cohort.slides).load("P003")))
    assert "fold0.h5 was made by another transform" in caplog.text


@pytest.mark.parametrize("damage", ["cut", "tiles", "patients", "gone", "no file"])
def test_a_damaged_file_is_named(made, tmp_path, damage):
    path = tmp_path / "fold0.h5"
    shutil.copy(made["projected"][0], path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-4000])
    elif damage == "gone":
        path.unlink()
    elif damage == "no file":
        path.write_text("x")
    else:
        with h5py.File(path, "r+") as file:
            less = file[damage][:-1]
            del file[damage]
            file[damage] = less
    with pytest.raises(InputError, match=r"fold0\.h5: not a whole file of projected tiles.*delete it"):
        TileFile(path)


def test_a_file_that_was_not_finished_is_not_there(cohort, tmp_path):
    summary = summarise(cohort.patients, cohort.slides, seed=1)
    slides = cohort.slides.copy()
    write_features(tmp_path / "less.h5", np.zeros((3, 12)))
    slides.loc[slides.index[-1], "features"] = str(tmp_path / "less.h5")
    out = [tmp_path / "o" / f"fold{k}.h5" for k in range(2)]
    with pytest.raises(InputError, match="its features changed while the run was on"):
        project(summary, slides, cohort.folds, settings=FAST, seed=1, out=out)
    assert list((tmp_path / "o").iterdir()) == []


def test_too_little_room_is_said_before_anything_is_written(cohort, tmp_path, monkeypatch):
    summary = summarise(cohort.patients, cohort.slides, seed=1)
    monkeypatch.setattr(projection.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"the projected tiles of 2 folds take 0.0 GB, and 0.0 GB are free; free some"):
        project(summary, cohort.slides, cohort.folds, settings=FAST, seed=1, out=[tmp_path / "a.h5", tmp_path / "b.h5"])
    assert list(tmp_path.iterdir()) == []


@given(sizes=st.lists(st.integers(0, 6), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_rows_on_the_device_make_the_same_batch_as_files(sizes, seed):
    rng = np.random.default_rng(seed)
    tiles = rng.normal(size=(20, 3)).astype(np.float16)
    wanted = [np.sort(rng.choice(20, size=size, replace=False)) for size in sizes]
    one, mask = collate([tiles[rows].astype(np.float32) for rows in wanted])
    two, same = gather(torch.from_numpy(tiles), wanted)
    assert torch.equal(mask, same) and torch.equal(one[mask], two[same]) and one.shape == two.shape


def test_all_tiles_on_a_device_are_those_of_the_file(made):
    file = TileFile(made["projected"][0])
    resident = file.resident("cpu")
    for patient in file.patients:
        rows = file.first(patient) + np.arange(file.count(patient))
        assert np.array_equal(resident[rows].numpy(), file.read(patient, None))
