"""Attention against the planted tiles: geometry and score."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import box
from sklearn.metrics import roc_auc_score

from histoweave.simulate.truth import planted_share, score_attention


def squares(share: np.ndarray, *, slide: str = "s", edge_um: float = 28.0) -> pd.DataFrame:
    row, column = (a.ravel() for a in np.indices(share.shape))
    return pd.DataFrame(
        {"slide": slide, "x_um": column * edge_um, "y_um": row * edge_um, "edge_um": edge_um,
         "planted_share": share.ravel()}
    )  # fmt: skip


@given(x=st.floats(-20, 200), y=st.floats(-20, 200), tile_um=st.floats(5, 150), seed=st.integers(0, 2**16))
def test_planted_share_equals_polygon_areas(x, y, tile_um, seed):
    share = np.random.default_rng(seed).uniform(size=(5, 7))
    table = squares(share)
    tile = box(x, y, x + tile_um, y + tile_um)
    expected = sum(
        r.planted_share * tile.intersection(box(r.x_um, r.y_um, r.x_um + 28, r.y_um + 28)).area
        for r in table.itertuples()
    )
    got = planted_share(np.array([[x, y]]), tile_um=tile_um, squares=table.sample(frac=1, random_state=0))
    assert got[0] == pytest.approx(expected / tile_um**2, abs=1e-9)


def cohort(*, n: int = 12, mpp: float = 0.5) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """n patients, each with 6 × 6 tiles of 112 µm: two columns planted, one by 0.3, three not."""
    share = np.zeros((24, 24))
    share[:, :8] = 1
    share[:, 8:12] = 0.3
    attention, truth = [], []
    for i in range(n):
        truth.append(squares(share, slide=f"s{i}"))
        for y in range(6):
            for x in range(6):
                attention.append((f"p{i}", f"s{i}", round(x * 112 / mpp), round(y * 112 / mpp), x))
    tiles = pd.DataFrame(attention, columns=["patient", "slide", "x_lv0", "y_lv0", "column"])
    slides = pd.DataFrame({"slide": [f"s{i}" for i in range(n)], "level0_mpp": mpp})
    return tiles, slides, pd.concat(truth)


def score(attention, slides, truth, **changes):
    arguments = {"tile_um": 112.0, "bootstrap": 1000, "confidence": 0.95, "seed": 1} | changes
    return score_attention(attention, slides=slides, truth=truth, **arguments)


@pytest.mark.parametrize("mpp", [0.5, 0.25, 0.448])
def test_perfect_inverse_and_blind_attention(mpp):
    tiles, slides, truth = cohort(mpp=mpp)
    planted = tiles["column"] < 2
    table = score(
        pd.concat(
            [
                tiles.assign(model="perfect", attention=planted.astype(float)),
                tiles.assign(model="inverse", attention=-planted.astype(float)),
                tiles.assign(model="blind", attention=1.0),
            ]
        ),
        slides,
        truth,
    )
    assert list(table) == ["model", "metric", "estimate", "ci_low", "ci_high", "n"]
    assert table["model"].tolist() == ["blind", "inverse", "perfect"]
    for column in ("estimate", "ci_low", "ci_high"):
        assert table[column].tolist() == pytest.approx([0.5, 0.0, 1.0])
    assert (table["n"] == 12).all() and (table["metric"] == "attention_auroc").all()


def test_the_estimate_is_the_mean_over_patients_of_scikit_learns_auroc():
    tiles, slides, truth = cohort()
    tiles = tiles.assign(model="m", attention=np.random.default_rng(0).uniform(size=len(tiles)))
    judged = tiles[tiles["column"] != 2]
    expected = np.mean([roc_auc_score(rows["column"] < 2, rows["attention"]) for _, rows in judged.groupby("patient")])
    row = score(tiles, slides, truth).iloc[0]
    assert row["estimate"] == pytest.approx(expected)
    assert row["ci_low"] < row["estimate"] < row["ci_high"]
    pd.testing.assert_frame_equal(score(tiles, slides, truth), score(tiles.iloc[::-1], slides, truth))


def test_tiles_between_the_limits_are_left_out():
    tiles, slides, truth = cohort()
    attention = np.where(tiles["column"] == 2, 99.0, tiles["column"] < 2)
    assert score(tiles.assign(model="m", attention=attention), slides, truth)["estimate"].item() == 1.0


def test_patients_with_one_kind_of_tile_only_do_not_count():
    tiles, slides, truth = cohort()
    bare = truth["slide"].isin(["s0", "s1"])
    truth.loc[bare, "planted_share"] = 0.0
    tiles = tiles.assign(model="m", attention=(tiles["column"] < 2).astype(float))
    assert score(tiles, slides, truth)["n"].item() == 10
    none = score(tiles, slides, truth.assign(planted_share=0.0)).iloc[0]
    assert none["n"] == 0 and np.isnan(none["estimate"]) and np.isnan(none["ci_low"])


def test_attention_of_several_repeats_is_averaged():
    tiles, slides, truth = cohort()
    planted = (tiles["column"] < 2).astype(float)
    twice = pd.concat(
        [
            tiles.assign(model="m", attention=3 * planted),
            tiles.assign(model="m", attention=-2 * planted),
        ]
    )
    assert score(twice, slides, truth)["estimate"].item() == 1.0


def test_no_attention_gives_an_empty_table():
    _, slides, truth = cohort()
    empty = pd.DataFrame(columns=["model", "patient", "slide", "x_lv0", "y_lv0", "attention"])
    table = score(empty, slides, truth)
    assert table.empty and list(table) == ["model", "metric", "estimate", "ci_low", "ci_high", "n"]
