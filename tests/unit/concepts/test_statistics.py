"""Statistics of latents against plain loops and closed forms."""

import math
import time

import numpy as np
import pandas as pd
import pytest
from concept_data import activations_of, images_table, sparse_matrix
from hypothesis import given, settings
from hypothesis import strategies as st

from histoweave.concepts.monosemanticity import monosemanticity
from histoweave.concepts.statistics import (
    concept_table,
    label_entropy,
    label_shares,
    label_statistics,
    n_distinct,
    top_images,
)
from histoweave.errors import InputError
from histoweave.settings.concepts import Concepts


def entropy_by_loop(values, labels, at_least):
    """CytoSAE's label entropy of one latent."""
    if not any(values):
        return math.nan
    kept = [(value, label) for value, label in zip(values, labels, strict=True) if label >= 0]
    if len(kept) < at_least:
        return -1.0
    sums = {}
    for value, label in kept:
        sums[label] = sums.get(label, 0.0) + float(value)
    total = sum(sums.values())
    return -sum(part / total * math.log(part / total + 1e-9) for part in sums.values())


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 6))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_label_entropy_equals_the_loop(seed, k, n_labels):
    rng = np.random.default_rng(seed)
    values = (rng.random((30, k)) + 0.1).astype(np.float32)
    values[:, k // 2 :][rng.random((30, k - k // 2)) < 0.3] = 0
    values[0] = 0
    labels = rng.integers(-1, n_labels, size=(30, k))
    labels[:, 0] = 0
    expected = [entropy_by_loop(*case, k // 2) for case in zip(values.tolist(), labels.tolist(), strict=True)]
    found = label_entropy(values, labels, at_least=k // 2)
    firing = np.array(
        [any(v > 0 and c >= 0 for v, c in zip(*case, strict=True)) for case in zip(values, labels, strict=True)]
    )
    np.testing.assert_allclose(found[firing], np.array(expected)[firing], atol=1e-9)
    assert np.isnan(found[0])


def test_label_entropy_closed_forms():
    values = np.array([[1, 1, 1, 1], [3, 1, 0, 0], [2, 2, 2, 2], [0, 0, 0, 0]], dtype=np.float32)
    labels = np.array([[0, 1, 2, 3], [0, 1, 0, 0], [5, 5, 5, 5], [0, 0, 0, 0]])
    entropy = label_entropy(values, labels, at_least=4)
    assert entropy[0] == pytest.approx(math.log(4), abs=1e-8)
    assert entropy[1] == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25), abs=1e-8)
    assert entropy[2] == pytest.approx(0, abs=1e-8)
    assert np.isnan(entropy[3])
    assert label_entropy(values, np.where(values > 0, labels, -1), at_least=4)[1] == -1


def test_shares_weigh_by_activation_and_leave_out_the_unlabelled():
    shares = label_shares(np.array([[3.0, 1.0, 4.0]]), np.array([[0, 2, -1]]))
    np.testing.assert_allclose(shares.toarray(), [[0.75, 0, 0.25]])


def test_distinct_codes():
    assert n_distinct(np.array([[3, 3, 1], [-1, -1, -1], [0, -1, 2]])).tolist() == [2, 0, 2]


def top_by_loop(activations, k):
    rows = []
    dense = activations.mean.toarray()
    for latent in range(dense.shape[1]):
        firing = [
            (-dense[row, latent], image) for row, image in enumerate(activations.images) if dense[row, latent] > 0
        ]
        for rank, (value, image) in enumerate(sorted(firing)[:k], start=1):
            rows.append((latent, rank, image, np.float32(-value)))
    return pd.DataFrame(rows, columns=["concept", "rank", "image", "activation"])


@pytest.mark.parametrize("levels", [None, 3])
def test_top_images_with_ties_by_id(levels):
    rng = np.random.default_rng(2)
    ids = [f"x{number}" for number in rng.permutation(80)]
    activations = activations_of(sparse_matrix(80, 25, levels=levels, density=0.2), ids)
    expected = top_by_loop(activations, 5)
    pd.testing.assert_frame_equal(top_images(activations, 5), expected, check_dtype=False)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, derandomize=True, max_examples=20)
def test_the_order_of_images_changes_nothing(seed):
    matrix = sparse_matrix(40, 12, levels=4)
    images = images_table(40, label=["ab"[row % 2] for row in range(40)], patients=[f"p{row % 7}" for row in range(40)])
    order = np.random.default_rng(seed).permutation(40)
    ids = [f"i{row:05d}" for row in order]
    one = activations_of(matrix)
    other = activations_of(matrix[order], ids)
    pd.testing.assert_frame_equal(top_images(one, 10), top_images(other, 10))
    features = np.random.default_rng(0).normal(size=(40, 3))
    tables = [
        concept_table(one, images, settings=Concepts(), features=features),
        concept_table(other, images.sample(frac=1, random_state=1), settings=Concepts(), features=features[order]),
    ]
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)


def test_concept_table():
    dense = np.zeros((12, 5), dtype=np.float32)
    dense[:, 0] = 0.5  # everywhere
    dense[:3, 1] = [0.1, 0.3, 0.2]  # in three images of one patient
    dense[:, 2] = 1e-4  # everywhere, and weak
    dense[2:12, 4] = np.arange(1, 11)
    images = images_table(
        12, patients=["p", "p", "p"] + ["q"] * 9, label=["a", "a", "b"] + ["b"] * 8 + [None], patient_label=["x"] * 12
    )
    table = concept_table(activations_of(dense), images, settings=Concepts(top_images=4)).set_index("concept")
    assert table["firing_rate"].tolist() == [1, 0.25, 1, 0, 10 / 12]
    np.testing.assert_allclose(table["mean_activation"], [0.5, 0.2, 1e-4, np.nan, 5.5], rtol=1e-6)
    np.testing.assert_allclose(table["max_activation"], [0.5, 0.3, 1e-4, 0, 10])
    np.testing.assert_allclose(table["peak_activation"], [2, 1.2, 4e-4, 0, 40])
    assert table["n_images"].tolist() == [12, 3, 12, 0, 10]
    assert table["dead"].tolist() == [False, False, False, True, False]
    assert table["dead_by_magnitude"].tolist() == [False, False, True, True, False]
    assert table.loc[1, "label_entropy"] == -1  # three images are fewer than four
    assert np.isnan(table.loc[3, "label_entropy"])
    assert table.loc[4, "label_entropy"] == pytest.approx(0, abs=1e-8)  # of its top four with a label
    assert table.loc[0, "label_entropy"] == pytest.approx(math.log(2), abs=1e-8)
    assert table.loc[[0, 1, 4], "top_label"].tolist() == ["a", "a", "b"]
    assert table.loc[3, "top_label"] is None
    assert table.loc[1, "top_label_share"] == pytest.approx(2 / 3)
    assert table["n_top_patients"].tolist() == [2, 1, 2, 0, 1]
    assert table["monosemanticity"].isna().all()


def test_patient_labels_describe_where_images_have_none():
    images = images_table(4, patients="ppqq", patient_label="ccdd")
    table = concept_table(activations_of([[1], [2], [0], [0]]), images, settings=Concepts(top_images=2))
    assert table["top_label"].tolist() == ["c"]
    unlabelled = concept_table(activations_of([[1], [2], [0], [0]]), images_table(4), settings=Concepts(top_images=2))
    assert unlabelled["top_label"].tolist() == [None]
    assert unlabelled["label_entropy"].tolist() == [-1]


def test_an_image_without_a_row_is_named():
    with pytest.raises(InputError, match="image 'i00002' was encoded, but the images table does not list it"):
        concept_table(activations_of(np.ones((3, 1))), images_table(2), settings=Concepts())


def quadratic(a, embedding):
    """The definition: all pairs."""
    spread = a.max() - a.min()
    if spread == 0:
        return math.nan
    a = (a - a.min()) / spread
    unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    pairs = np.triu_indices(len(a), 1)
    weights = np.outer(a, a)[pairs]
    return (weights * (unit @ unit.T)[pairs]).sum() / weights.sum() if weights.sum() > 0 else math.nan


@pytest.mark.parametrize("density", [0.05, 0.4, 1.0])
def test_linear_monosemanticity_equals_the_quadratic(density):
    matrix = sparse_matrix(60, 30, density=density)
    features = np.random.default_rng(5).normal(loc=0.5, size=(60, 9)).astype(np.float32)
    found = monosemanticity(matrix, features)
    expected = [quadratic(column.astype(float), features.astype(float)) for column in matrix.toarray().T]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.isfinite(found).any()


def test_monosemanticity_at_its_ends():
    alike = np.ones((4, 2))
    fires = np.array([[1, 0, 0.5], [2, 3, 0.5], [0, 0, 0.5], [0, 0, 0.5]])
    score = monosemanticity(activations_of(fires).mean, alike)
    assert score[0] == pytest.approx(1)
    assert np.isnan(score[1])  # one image only
    assert np.isnan(score[2])  # the same everywhere: nothing to weigh by
    opposite = monosemanticity(activations_of([[1.0], [1.0], [0.0]]).mean, np.array([[1.0, 0], [-1, 0], [0, 1]]))
    assert opposite[0] == pytest.approx(-1)


def test_monosemanticity_names_a_broken_embedding():
    with pytest.raises(InputError, match="image number 2 holds NaN"):
        monosemanticity(activations_of(np.ones((2, 1))).mean, np.array([[1.0], [np.nan]]))


def test_fifty_thousand_latents_take_seconds():
    activations = activations_of(sparse_matrix(2000, 49_152, density=0.02))
    images = images_table(2000, label=[f"c{row % 13}" for row in range(2000)])
    start = time.process_time()
    table = concept_table(activations, images, settings=Concepts())
    assert time.process_time() - start < 15
    assert len(table) == 49_152


def test_labels_that_do_not_count_are_passed_over():
    dense = np.array([[3.0, 1.0, 0.0, 0.0], [2.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0], [9.0, 9.0, 0.0, 9.0]])
    images = images_table(4, label=["a", "b", "b", "other"])
    activations = activations_of(dense.astype(np.float32))
    labels = images["label"].where(images["label"] != "other", None)
    found = label_statistics(activations, images, labels, k=2)
    p = np.array([3 / 5, 2 / 5])
    entropy = found["label_entropy"]
    assert entropy[0] == pytest.approx(-(p * np.log(p + 1e-9)).sum())  # the third image is not among the top two
    assert entropy[1] == pytest.approx(np.log(2)) and np.isnan(entropy[2]) and entropy[3] == -1
    assert found["top_label"].tolist() == ["a", "a", None, "b"]
    nothing = label_statistics(activations, images, pd.Series([None] * 4, dtype=object), k=2)
    assert np.isnan(nothing["label_entropy"]).all() and pd.isna(nothing["top_label"]).all()
