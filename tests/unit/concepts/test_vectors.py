"""Patients and classes as means of images."""

import numpy as np
import pytest
from concept_data import images_table, sparse_matrix
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, vstack

from histoweave.concepts.vectors import class_contrast, class_vectors, from_top_values, group_means, patient_vectors
from histoweave.errors import InputError


def test_patient_vectors_are_means_over_images():
    matrix = sparse_matrix(50, 8, density=0.5)
    patients = [f"p{row % 7}" for row in range(50)]
    names, vectors = patient_vectors(matrix, images_table(50, patients=patients))
    frame = images_table(50, patients=patients)
    assert names == sorted(set(patients))
    for row, name in enumerate(names):
        expected = matrix.toarray()[frame["patient"] == name].mean(axis=0)
        np.testing.assert_allclose(vectors[row].toarray()[0], expected, rtol=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
@settings(deadline=None, derandomize=True, max_examples=20)
def test_picturing_every_cell_again_changes_no_patient(seed, times):
    matrix = sparse_matrix(30, 8, density=0.5, seed=seed)
    rng = np.random.default_rng(seed)
    patients = rng.choice(["p", "q", "r"], 30)
    labels = {"p": "sick", "q": "well", "r": None}
    again = patients == "q"  # every cell of one patient
    more = vstack([matrix, *[matrix[again]] * times]).tocsr()
    more_patients = [*patients, *(["q"] * again.sum() * times)]
    order = rng.permutation(more.shape[0])
    once = images_table(30, patients=patients, patient_label=map(labels.get, patients))
    often = images_table(
        more.shape[0], patients=np.array(more_patients)[order],
        patient_label=[labels[more_patients[row]] for row in order],
    )  # fmt: skip
    for function in (patient_vectors, lambda *given: class_vectors(*given, column="patient_label")[:2]):
        (names, one), (others, other) = function(matrix, once), function(more[order], often)
        assert names == others
        np.testing.assert_allclose(one.toarray(), other.toarray(), rtol=1e-12, atol=1e-15)


def test_classes_are_means_over_images_or_over_patients():
    matrix = csr_matrix([[1.0, 0], [3, 0], [8, 2], [0, 4]])
    images = images_table(4, patients="ppqr", label=["a", "b", "b", None], patient_label=["s", "s", "s", "t"])
    names, vectors, n = class_vectors(matrix, images, column="label")
    assert (names, n.tolist()) == (["a", "b"], [1, 2])
    np.testing.assert_allclose(vectors.toarray(), [[1, 0], [5.5, 1]])
    names, vectors, n = class_vectors(matrix, images, column="patient_label")
    assert (names, n.tolist()) == (["s", "t"], [2, 1])
    np.testing.assert_allclose(vectors.toarray(), [[5, 1], [0, 4]])  # (2 + 8) / 2: patients, not images


def test_a_patient_with_two_labels_is_refused():
    images = images_table(2, patients="pp", patient_label=["s", "t"])
    with pytest.raises(InputError, match="patient 'p' has more than one patient label"):
        class_vectors(csr_matrix(np.ones((2, 1))), images, column="patient_label")


def test_no_labels_are_no_classes():
    names, vectors, n = class_vectors(csr_matrix(np.ones((2, 3))), images_table(2), column="label")
    assert (names, vectors.shape, len(n)) == ([], (0, 3), 0)


def test_contrast():
    vectors = csr_matrix([[5.0, 0, 1, 2, 2], [1, 3, 1, 1, 1]])
    table = class_contrast(["a", "b"], vectors, "a", "b", top=2)
    assert table.to_dict("list") == {
        "towards": ["a", "a", "b"],
        "rank": [1, 2, 1],
        "concept": [0, 3, 1],
        "difference": [4.0, 1.0, -3.0],
    }
    with pytest.raises(InputError, match="class 'c' has no vector; the classes are a, b"):
        class_contrast(["a", "b"], vectors, "a", "c")


def test_from_top_values_knows_what_the_table_holds():
    values = np.array([[3.0, 1.0], [2.0, 0.0]])
    images = np.array([[7, 4], [4, 9]])
    known, matrix = from_top_values(values, images)
    assert known.tolist() == [4, 7]
    np.testing.assert_allclose(matrix.toarray(), [[1, 2], [3, 0]])
    _, means = group_means(matrix, ["p", "p"])
    np.testing.assert_allclose(means.toarray(), [[2, 1]])
