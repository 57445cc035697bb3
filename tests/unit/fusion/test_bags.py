"""A patient's tiles from the slides' feature files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fusion_cohort import write_features
from hypothesis import given
from hypothesis import strategies as st

from histoweave.errors import InputError
from histoweave.fusion import bags as module
from histoweave.fusion.bags import BagStore
from histoweave.fusion.transforms import fit_components


def slides_table(rows: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["slide", "patient", "status", "features"])


@pytest.fixture
def bags(tmp_path) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Patient a: two slides of 5 and 90 tiles, and a refused one; patient b: one slide of 3 tiles."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(n, 4)).astype(np.float32) for name, n in (("a1", 5), ("a2", 90), ("b1", 3))}
    for name, array in arrays.items():
        write_features(tmp_path / f"{name}.h5", array)
    rows = [(name, name[0], "ok", str(tmp_path / f"{name}.h5")) for name in ("a2", "b1", "a1")]
    return slides_table([*rows, ("a3", "a", "no_tissue", "nowhere.h5")]), arrays


@pytest.mark.parametrize("block_rows", [1, 7, 4096])
def test_a_bag_is_all_slides_of_the_patient_in_order(bags, monkeypatch, block_rows):
    monkeypatch.setattr(module, "BLOCK_ROWS", block_rows)
    table, arrays = bags
    store = BagStore(table)
    expected = np.concatenate([arrays["a1"], arrays["a2"]])
    assert np.array_equal(store.load("a"), expected)
    assert np.array_equal(store.load("a", np.array([1, 4, 90])), expected[[1, 4, 90]])
    assert all(len(block) <= block_rows for block in store.blocks("a"))
    assert store.count("a") == 95 and store.count("b") == 3 and "a" in store and "c" not in store
    np.testing.assert_allclose(store.mean("a"), expected.astype(np.float64).mean(axis=0), rtol=1e-12)
    coords = store.coords("a")
    assert list(coords["slide"]) == ["a1"] * 5 + ["a2"] * 90
    assert tuple(coords.loc[5 + 8, ["x_lv0", "y_lv0"]]) == (224, 224)


def test_features_that_are_not_finite_are_refused(tmp_path):
    write_features(tmp_path / "s.h5", np.array([[1.0, np.nan]]))
    store = BagStore(slides_table([("s", "p", "ok", str(tmp_path / "s.h5"))]))
    for read in (store.load, store.mean):
        with pytest.raises(InputError, match=r"s\.h5.*not finite"):
            read("p")


def test_another_encoder_is_refused(bags, tmp_path):
    _, arrays = bags
    fitted = fit_components(arrays["a2"].astype(np.float64), components=2, seed=0)
    write_features(tmp_path / "c1.h5", np.ones((3, 9)))
    other = BagStore(slides_table([("c1", "c", "ok", str(tmp_path / "c1.h5"))]), transform=fitted)
    with pytest.raises(InputError, match=r"c1\.h5.*9 features.*4"):
        other.load("c")


@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=4), data=st.data())
def test_the_mean_is_over_all_tiles_of_all_slides(tmp_path_factory, sizes, data):
    folder = tmp_path_factory.mktemp("m")
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    arrays = [rng.normal(size=(n, 3)) for n in sizes]
    for number, array in enumerate(arrays):
        write_features(folder / f"{number}.h5", array)
    rows = [(str(n), "p", "ok", str(folder / f"{n}.h5")) for n in range(len(sizes))]
    mean = BagStore(slides_table(rows)).mean("p")
    np.testing.assert_allclose(
        mean, np.concatenate(arrays).astype(np.float32).mean(axis=0, dtype=np.float64), rtol=1e-9
    )
