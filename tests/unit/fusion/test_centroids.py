"""Nearest centroid: against scipy, scikit-learn and class means by hand; tables of centroids that users hand over."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fusion_cohort import FAST, Cohort
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from simple_models_data import P, forward, module_of, parts, three_classes
from sklearn.linear_model import LogisticRegression

from histoweave.errors import InputError
from histoweave.fusion.centroids import check_genes, read_centroids
from histoweave.fusion.fitted import load_fold
from histoweave.fusion.models.centroid import (
    LEAST_SLOPE,
    Centroid,
    class_means,
    correlations,
    fit_centroid,
    fit_slope,
    held_out_correlations,
)
from histoweave.storage.files import read_json


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    return three_classes(tmp_path_factory)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n_genes=st.integers(3, 30), tied=st.booleans())
def test_the_module_gives_spearmans_correlation(seed, n_genes, tied):
    rng = np.random.default_rng(seed)
    genes, centroids = rng.normal(size=(4, n_genes)), rng.normal(size=(3, n_genes))
    if tied:
        genes, centroids = genes.round(), centroids.round()
    genes[:, 0], centroids[:, 0] = 9, [-9, 9, 9]  # nobody is constant
    module = module_of(Centroid, n_genes, 3)
    module.set(centroids, 1.0, np.zeros(3, dtype=bool))
    expected = [[spearmanr(row, centroid).statistic for centroid in centroids] for row in genes]
    np.testing.assert_allclose(forward(module, genes), expected, atol=1e-6)
    np.testing.assert_allclose(correlations(genes, centroids), expected, atol=1e-9)


def test_a_patient_whose_genes_are_all_equal_correlates_with_nothing():
    module = module_of(Centroid, 4, 2)
    assert forward(module, np.ones((1, 4))).tolist() == [[0.0, 0.0]]


def test_the_slope_is_scikit_learns_for_two_classes():
    rng = np.random.default_rng(1)
    labels = rng.integers(2, size=80)
    found = rng.normal(size=(80, 2)) * 0.3
    found[np.arange(80), labels] += 0.3
    model = LogisticRegression(C=100, fit_intercept=False, tol=1e-8).fit(found[:, [1]] - found[:, [0]], labels)
    assert fit_slope(found, labels) == pytest.approx(model.coef_[0, 0], rel=1e-3)
    assert fit_slope(-found, labels) == pytest.approx(LEAST_SLOPE, abs=1e-4)
    lost = np.vstack([found, [[np.nan, 5.0]]])
    assert fit_slope(lost, np.append(labels, 0)) == pytest.approx(model.coef_[0, 0], rel=1e-3)
    apart = np.where(np.eye(2)[labels] > 0, 1.0, -1.0)
    assert 1 < fit_slope(apart, labels) < 50  # no error, no infinite slope


def test_nobody_is_part_of_the_own_centroid_when_the_slope_is_fitted():
    rng = np.random.default_rng(2)
    genes, labels = rng.normal(size=(12, 9)), np.resize([0, 1, 3], 12)
    genes, labels = genes[:10], labels[:10]
    found = held_out_correlations(genes, labels, n_classes=4)
    for row in range(10):
        for code in (0, 1, 3):
            others = [i for i in range(10) if i != row and labels[i] == code]
            expected = spearmanr(genes[row], genes[others].mean(axis=0)).statistic
            assert found[row, code] == pytest.approx(expected, abs=1e-9)
    assert np.isneginf(found[:, 2]).all()
    alone = held_out_correlations(genes[[0, 3, 1]], np.array([0, 0, 1]), n_classes=2)
    assert np.isnan(alone).tolist() == [[False, False], [False, False], [False, True]]


def test_centroids_are_class_means_of_centred_genes(cohort, tmp_path):
    out = cohort.run("centroid", 0, tmp_path)
    found, fitted = parts(out), load_fold(out)
    rna = fitted.transforms.expression
    assert "G3" not in rna.kept_genes and "G4" not in rna.kept_genes
    x = cohort.expression.set_index("patient")[rna.kept_genes]
    x = x - x.loc[found["train"].index].median()
    means = x.loc[found["train"].index].groupby(found["train"]["y_true"]).mean()
    np.testing.assert_allclose(fitted.module.centroids, means, atol=1e-5)
    test = found["test"]
    nearest = [means.index[np.argmax([spearmanr(x.loc[p], mean).statistic for mean in means.to_numpy()])]
               for p in test.index]  # fmt: skip
    assert [label[2:] for label in test[P].idxmax(axis=1)] == nearest
    assert read_json(out / "config.json")["centroids"] == "training patients"


def centroids_file(path, cohort: Cohort, *, genes=None, columns=("c", "a", "b")) -> str:
    genes = genes or [f"G{i}" for i in range(5, 35)]
    values = np.random.default_rng(3).normal(size=(len(genes), len(columns)))
    pd.DataFrame(values, index=genes, columns=list(columns)).to_csv(path, sep="\t", index_label="gene")
    return str(path)


def test_centroids_of_a_file_are_used_as_they_are(cohort, tmp_path):
    path = centroids_file(tmp_path / "c.tsv", cohort)
    given = pd.read_csv(path, sep="\t", index_col=0)
    out = cohort.run("centroid", 0, tmp_path / "out", settings=FAST.model_copy(update={"centroids": path}))
    fitted, found = load_fold(out), parts(out)
    kept = fitted.transforms.expression.kept_genes
    assert kept == list(given.index)  # more than n_genes would keep, and not the most variable ones
    np.testing.assert_allclose(fitted.module.centroids, given[["a", "b", "c"]].T, atol=1e-6)
    config = read_json(out / "config.json")
    assert config["centroids"] == "file" and config["settings"]["centroids"] == path
    x = cohort.expression.set_index("patient")[kept]
    x = x - x.loc[found["train"].index].median()
    row = found["test"].iloc[0]
    r = np.array([spearmanr(x.loc[row.name], given[label]).statistic for label in "abc"])
    expected = np.exp(r * float(fitted.module.slope))
    np.testing.assert_allclose(row[P].astype(float), expected / expected.sum(), atol=1e-6)


def test_older_symbols_and_missing_genes_of_a_file(tmp_path):
    path = tmp_path / "c.tsv"
    path.write_text("gene\tx\ty\nCDCA1\t1\t2\nTP53\t3\t4\nGONE\t5\t6\n")
    table = read_centroids(str(path), ["y", "x"])
    assert list(table.index) == ["NUF2", "TP53", "GONE"] and table.to_numpy().tolist() == [[2, 1], [4, 3], [6, 5]]
    check_genes(table, ["NUF2", "TP53", "ESR1"], path=str(path))
    with pytest.raises(InputError, match=r"c.tsv: 1 of its 3 genes are in the RNA table, and at least half"):
        check_genes(table, ["TP53", "ESR1"], path=str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "does not exist"),
        ("gene\tx\nA\t1\n", "its columns 'x' are not the classes of the cohort, 'x', 'y'"),
        ("gene\tx\ty\tz\nA\t1\t2\t3\n", "'x', 'y', 'z' are not the classes"),
        ("gene\tx\ty\nA\t1\t2\nA\t1\t3\n", "row 3: gene 'A' occurs twice"),
        ("gene\tx\ty\nA\t1\t\nB\t1\t3\n", "row 2: gene 'A' has no number for class 'y'"),
        ("gene\tx\ty\nA\t1\tup\nB\t1\tdown\n", "row 2 .'A'.: value 'up' of 'y' is not a number"),
        ("gene\tx\ty\nA\t1\t2\n1-Mar\t1\t3\n", "row 3: gene '1-Mar'"),
    ],
)
def test_a_bad_table_of_centroids_gets_one_line(tmp_path, text, message):
    path = tmp_path / "c.tsv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_centroids(str(path), ["x", "y"])
    assert "c.tsv" in str(caught.value) and "\n" not in str(caught.value)


def test_a_class_of_the_users_centroids_needs_no_training_patient():
    genes = np.random.default_rng(0).normal(size=(8, 6))
    module = module_of(Centroid, 6, 3)
    fit_centroid(module, genes, np.resize([0, 1], 8), given=np.random.default_rng(1).normal(size=(3, 6)))
    assert np.isfinite(forward(module, genes)).all()
    means, counts = class_means(genes, np.resize([0, 1], 8), n_classes=3)
    assert counts.tolist() == [4, 4, 0] and (means[2] == 0).all()
