"""Number, mean and a sample of each patient's tiles."""

from __future__ import annotations

import dataclasses

import h5py
import numpy as np
import pytest
from fusion_cohort import Cohort, make_cohort, write_features

from histoweave.errors import InputError
from histoweave.fusion import tile_summary as module
from histoweave.fusion.bags import BagStore
from histoweave.fusion.tile_summary import read_means, read_summary, summarise, write_summary


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    return make_cohort(tmp_path_factory.mktemp("f"), seed=2, n=24, n_features=6, n_genes=10, n_folds=2)


def test_it_is_what_the_files_hold(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SAMPLED_TILES", 120)
    write_summary(tmp_path / "s.h5", summarise(cohort.patients, cohort.slides, seed=1))
    summary, bags = read_summary(tmp_path / "s.h5"), BagStore(cohort.slides)
    assert summary.patients == tuple(sorted(cohort.patients["patient"]))
    means = read_means(tmp_path / "s.h5")
    for i, patient in enumerate(summary.patients):
        tiles = bags.load(patient)
        assert summary.counts[i] == len(tiles)
        np.testing.assert_allclose(means[patient], tiles.astype(np.float64).mean(axis=0), rtol=1e-9)
        sample = summary.samples[i]
        # Different tiles of the patient, not in the order of the file.
        rows = [int(np.flatnonzero((tiles == row).all(axis=1))[0]) for row in sample]
        assert len(set(rows)) == len(rows) == 10 and rows != sorted(rows)


def test_every_training_patient_gives_as_many_tiles(cohort, monkeypatch):
    monkeypatch.setattr(module, "SAMPLED_TILES", 120)
    summary = summarise(cohort.patients, cohort.slides, seed=1)
    ids = list(summary.patients)
    assert len(summary.sample(ids)) == 120 and len(summary.sample(ids[:12])) == 120
    assert len(summary.sample(ids[:2])) == 20  # no more of a patient than half of the patients need
    assert np.array_equal(summary.sample(ids[:12])[:10], summary.samples[0])


def test_a_patient_s_part_does_not_depend_on_the_others(cohort):
    some = cohort.patients[cohort.patients["patient"] > "P003"]
    # As many tiles of each are kept: the bags are smaller than the sample.
    whole, part = (summarise(patients, cohort.slides, seed=1) for patients in (cohort.patients, some))
    for i, patient in enumerate(part.patients):
        j = whole.patients.index(patient)
        assert np.array_equal(whole.samples[j], part.samples[i]) and np.array_equal(whole.means[j], part.means[i])


def test_patients_who_are_left_out_or_have_no_image_have_no_part(cohort):
    patients = cohort.patients.copy()
    patients.loc[0, "included"], patients.loc[1, "has_image"] = False, False
    assert summarise(patients, cohort.slides, seed=1).patients == tuple(sorted(patients["patient"]))[2:]
    none = summarise(patients.assign(has_image=False), cohort.slides, seed=1)
    assert none.patients == () and len(none.counts) == 0


def test_no_images_at_all_can_be_written(cohort, tmp_path):
    write_summary(tmp_path / "s.h5", summarise(cohort.patients.assign(has_image=False), cohort.slides, seed=1))
    assert read_summary(tmp_path / "s.h5").patients == () and read_means(tmp_path / "s.h5") == {}


def test_other_encoders_and_lost_slides_are_refused(cohort, tmp_path):
    write_features(tmp_path / "odd.h5", np.ones((4, 9)))
    slides = cohort.slides.copy()
    slides.loc[3, "features"] = str(tmp_path / "odd.h5")
    with pytest.raises(InputError, match=r"P003: has 9 features per tile where patient P000 has 6"):
        summarise(cohort.patients, slides, seed=1)
    two = slides.assign(patient=slides["patient"].replace("P003", "P002"))
    two_patients = cohort.patients[cohort.patients["patient"] != "P003"]
    with pytest.raises(InputError, match=r"P002: slides have 6 and 9 features"):
        summarise(two_patients, two, seed=1)
    with pytest.raises(InputError, match="P000: has_image is true, but no slide has the status ok"):
        summarise(cohort.patients, cohort.slides.assign(status="no_tissue"), seed=1)


def test_a_damaged_file_is_named(cohort, tmp_path):
    path = tmp_path / "s.h5"
    write_summary(path, summarise(cohort.patients, cohort.slides, seed=1))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"s\.h5: not a whole summary"):
        read_summary(path)
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        del file["means"]
        file["means"] = np.zeros((3, 6))
    with pytest.raises(InputError, match="patients are missing"):
        read_means(path)
    with pytest.raises(InputError, match="not a whole summary"):
        read_summary(tmp_path / "nowhere.h5")


def test_two_runs_give_the_same_bytes(cohort, tmp_path):
    for name in ("a.h5", "b.h5"):
        write_summary(tmp_path / name, summarise(cohort.patients, cohort.slides, seed=1))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    other = summarise(cohort.patients, cohort.slides, seed=2)
    assert not np.array_equal(other.samples[0], read_summary(tmp_path / "a.h5").samples[0])
    assert dataclasses.is_dataclass(other)
