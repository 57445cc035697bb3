"""Prevalence, mean tile features, nearest centroid, top-scoring pairs: against scipy, scikit-learn and brute force."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from test_fusion_cohort import FAST, Cohort, make_cohort, write_features

from histoweave.config import Fusion
from histoweave.errors import InputError
from histoweave.fusion import catalog
from histoweave.fusion.bags import BagStore
from histoweave.fusion.centroids import check_genes, read_centroids
from histoweave.fusion.fitted import load_fold
from histoweave.fusion.layers import masked_mean
from histoweave.fusion.models.base import Shape
from histoweave.fusion.models.centroid import (
    LEAST_SLOPE,
    Centroid,
    class_means,
    correlations,
    fit_centroid,
    fit_slope,
    held_out_correlations,
)
from histoweave.fusion.models.references import INVERSE_REGULARISATION, auroc
from histoweave.fusion.models.top_pairs import TopPairs, best_pairs, candidates, fit_top_pairs, lower_shares
from histoweave.io import read_json, read_table

SIMPLE = ("majority", "best_gene", "top_pairs", "centroid", "logistic_expression", "logistic_image")
P = ["p_a", "p_b", "p_c"]


def forward(module: torch.nn.Module, genes: np.ndarray) -> np.ndarray:
    """Logits of patients given by their genes."""
    n = len(genes)
    nothing, there = torch.zeros(n, 1, 1), torch.ones(n, dtype=torch.bool)
    genes = torch.from_numpy(genes.astype(np.float32))
    return module(nothing, nothing[..., 0] == 1, genes, ~there, there).logits.detach().double().numpy()


def module_of(kind: type, n_genes: int, n_classes: int) -> torch.nn.Module:
    return kind(Shape(1, (0,) * n_genes, n_classes), FAST)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    """Three classes; P002 has two slides, gene G3 is constant and G4 never measured."""
    whole = make_cohort(tmp_path_factory.mktemp("f"), seed=4, n=60, n_features=20, n_genes=60, n_folds=3, n_classes=3)
    path = tmp_path_factory.mktemp("second") / "P002-2.h5"
    write_features(path, np.random.default_rng(0).normal(size=(11, 20)) + 3)
    second = whole.slides[whole.slides["patient"] == "P002"].assign(slide="P002-2", features=str(path), n_tiles=11)
    return dataclasses.replace(
        whole,
        slides=pd.concat([whole.slides, second], ignore_index=True),
        expression=whole.expression.assign(G3=2.0, G4=np.nan),
    )


def parts(run) -> dict[str, pd.DataFrame]:
    """Predictions by role, indexed by patient."""
    table = read_table(run / "predictions.parquet").set_index("patient")
    return {role: rows for role, rows in table.groupby("role")}


def test_complexity_orders_the_catalog():
    infos = [catalog.get(name) for name in catalog.names()]
    assert {info.name: info.complexity for info in infos} == {
        "majority": 0, "best_gene": 1, "top_pairs": 2, "centroid": 3, "logistic_expression": 4, "logistic_image": 4,
        "image": 5, "expression": 5, "late_mean": 6, "concat": 7, "cross_attention": 8,
    }  # fmt: skip
    assert Fusion().models == list(catalog.names())


# ---------------------------------------------------------------- prevalence


def test_majority_is_the_prevalence_of_the_folds_training_patients(cohort, tmp_path):
    found = parts(cohort.run("majority", 0, tmp_path))
    shares = found["train"]["y_true"].value_counts(normalize=True)[["a", "b", "c"]]
    for rows in found.values():
        np.testing.assert_allclose(rows[P], [shares] * len(rows), atol=1e-6)


# ---------------------------------------------------------------- mean tile features


def raw_means(cohort: Cohort) -> pd.DataFrame:
    bags = BagStore(cohort.slides)
    return pd.DataFrame({patient: bags.load(patient).astype(np.float64).mean(axis=0) for patient in
                         cohort.patients["patient"]}).T  # fmt: skip


@pytest.mark.parametrize("components", [None, 5, 64])
def test_logistic_image_equals_a_pipeline_of_scikit_learn(cohort, tmp_path, components):
    """For one penalty of the grid: scaling and PCA of the training patients' means, fitted on training and validation."""
    out = cohort.run("logistic_image", 0, tmp_path, settings=FAST.model_copy(update={"image_components": components}))
    found, means = parts(out), raw_means(cohort)
    train = means.loc[found["train"].index]
    scaled = StandardScaler().fit(train)
    x = pd.DataFrame(scaled.transform(means), index=means.index)
    if components is not None:
        pca = PCA(min(components, len(train) - 1, 20)).fit(x.loc[train.index])
        x = pd.DataFrame(pca.transform(x) / np.sqrt(pca.explained_variance_.mean()), index=means.index)
    seen = pd.concat([found["train"], found["val"]])
    weights = np.sqrt(compute_sample_weight("balanced", seen["y_true"]))
    differences = []
    for inverse in INVERSE_REGULARISATION:
        model = LogisticRegression(C=inverse, max_iter=5000).fit(x.loc[seen.index], seen["y_true"], weights)
        differences.append(np.abs(model.predict_proba(x.loc[found["test"].index]) - found["test"][P]).max(axis=None))
    assert min(differences) < 2e-3 < max(differences)
    fitted = load_fold(out)
    assert fitted.transforms.image.width == (20 if components is None else min(components, len(train) - 1, 20))


def test_the_mean_of_a_patient_is_over_all_tiles_of_all_slides(cohort):
    bags, two = BagStore(cohort.slides), "P002"
    np.testing.assert_allclose(bags.mean(two), bags.load(two).astype(np.float64).mean(axis=0), rtol=1e-12)
    assert bags.count(two) == cohort.slides.loc[cohort.slides["patient"] == two, "n_tiles"].sum()
    tiles = torch.randn(2, 4, 3)
    mask = torch.tensor([[True, True, False, False], [False] * 4])
    tiles[0, 2:] = float("nan")
    np.testing.assert_allclose(masked_mean(tiles, mask)[0], tiles[0, :2].mean(0), rtol=1e-6)
    assert (masked_mean(tiles, mask)[1] == 0).all()


def test_there_are_fewer_components_than_training_patients(cohort, tmp_path):
    folds = cohort.folds[cohort.folds["fold"] == 0]
    train = folds[folds["role"] == "train"].merge(cohort.patients)
    few = pd.concat([train.groupby("label").head(2)["patient"], folds.loc[folds["role"] != "train", "patient"]])
    out = cohort.run("logistic_image", 0, tmp_path, folds=folds[folds["patient"].isin(few)], settings=Fusion())
    assert load_fold(out).transforms.image.width == 5


def test_fitting_reads_each_bag_once(cohort, monkeypatch):
    from histoweave.fusion import reference_fit

    read = []
    original = BagStore.mean
    monkeypatch.setattr(BagStore, "mean", lambda self, patient: read.append(patient) or original(self, patient))
    monkeypatch.setattr(BagStore, "load", lambda *_, **__: pytest.fail("a bag is read again"))
    from histoweave.fusion.patients import PatientSet

    everyone = PatientSet.of(cohort.patients, slides=cohort.slides, expression=None, classes=cohort.classes)
    ids = everyone.ids
    reference_fit.fit_reference(
        catalog.get("logistic_image"), everyone.subset(ids[:40]), everyone.subset(ids[40:]), classes=cohort.classes,
        settings=FAST, seed=0,
    )  # fmt: skip
    assert read == ids


# ---------------------------------------------------------------- nearest centroid


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
        ("gene\tx\ty\nA\t1\t2\nA\t1\t3\n", "row 3: gene 'A' is there twice"),
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


# ---------------------------------------------------------------- top-scoring pairs


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n_genes=st.integers(2, 7), tied=st.booleans())
def test_pairs_are_those_of_a_search_through_all(seed, n_genes, tied):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3 if tied else 1000, size=(14, n_genes)).astype(float)
    is_class = rng.permutation(np.resize([True, False, False], 14))
    ranks = rankdata(values, axis=1)

    def share(rows, i, j):
        return np.mean([0.5 if row[i] == row[j] else float(row[i] < row[j]) for row in rows])

    scored = []
    for i, j in itertools.combinations(range(n_genes), 2):
        score = share(values[is_class], i, j) - share(values[~is_class], i, j)
        gap = ranks[:, j] - ranks[:, i]
        spread = abs(gap[is_class].mean() - gap[~is_class].mean())
        scored.append((-round(abs(score), 9), -round(spread, 9), i, j, score))
    expected, used = [], set()
    for *_, i, j, score in sorted(scored):
        if not used & {i, j}:
            used |= {i, j}
            expected.append([i, j] if score >= 0 else [j, i])
    assert best_pairs(ranks, is_class).tolist() == expected[:9]


def test_candidates_are_the_genes_of_the_largest_rank_sum():
    rng = np.random.default_rng(0)
    values, is_class = rng.normal(size=(40, 150)), np.arange(40) < 15
    values[is_class, 100:110] += 3
    ranks = rankdata(values, axis=1)
    found = candidates(ranks, is_class)
    statistic = [abs(roc_auc_score(is_class, column) - 0.5) for column in ranks.T]
    assert len(found) == 100 and set(range(100, 110)) <= set(found)
    assert set(found) == set(np.argsort(statistic)[-100:])
    np.testing.assert_allclose(np.abs(auroc(rankdata(ranks, axis=0), is_class) - 0.5), statistic, atol=1e-12)


def test_shares_do_not_depend_on_how_many_patients_are_looked_at_together():
    values = np.random.default_rng(0).integers(0, 4, size=(600, 5)).astype(float)
    expected = [[np.mean((values[:, i] < values[:, j]) + 0.5 * (values[:, i] == values[:, j])) for j in range(5)]
                for i in range(5)]  # fmt: skip
    np.testing.assert_allclose(lower_shares(values), expected)


def planted(n: int = 60, n_genes: int = 30, *, n_classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """In class c gene 2c is below gene 2c + 1, else above."""
    rng = np.random.default_rng(seed)
    genes, labels = rng.normal(5, 1, size=(n, n_genes)).astype(np.float32), np.resize(np.arange(n_classes), n)
    for code in range(n_classes):
        low, high = np.sort(genes[:, [2 * code, 2 * code + 1]], axis=1).T
        own = labels == code
        genes[:, 2 * code] = np.where(own, low, high)
        genes[:, 2 * code + 1] = np.where(own, high, low)
    return genes, labels


@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_planted_pairs_are_found(n_classes):
    genes, labels = planted(n_classes=n_classes)
    module = module_of(TopPairs, 30, n_classes)
    fit_top_pairs(module, train=(genes[:40], labels[:40]), val=(genes[40:], labels[40:]))
    for code in range(1 if n_classes == 2 else 0, n_classes):
        own = module.pairs[code][module.counts[code] > 0].tolist()
        assert [2 * code, 2 * code + 1] in own or (n_classes == 2 and [1, 0] in own)
        assert len(own) % 2 == 1 and len({gene for pair in own for gene in pair}) == 2 * len(own)
    new, truth = planted(n_classes=n_classes, seed=5)
    assert (forward(module, new).argmax(axis=1) == truth).mean() > 0.9


MONOTONE = [lambda x: 3 * x - 50, np.exp, lambda x: x**3, lambda x: np.sqrt(x + 100), rankdata]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), chosen=st.lists(st.sampled_from(range(len(MONOTONE))), min_size=60, max_size=60))
def test_a_monotone_change_within_each_patient_changes_nothing(seed, chosen):
    """Neither what is fitted nor what is predicted."""
    genes, labels = planted(seed=seed)
    genes = genes.round(2)  # differences that float32 keeps
    changed = np.stack([MONOTONE[kind](row.astype(np.float64)) for kind, row in zip(chosen, genes, strict=True)])
    changed = changed.astype(np.float32)
    modules = []
    for values in (genes, changed):
        modules.append(module_of(TopPairs, 30, 2))
        fit_top_pairs(modules[-1], train=(values[:40], labels[:40]), val=(values[40:], labels[40:]))
    for name, value in modules[0].state_dict().items():
        assert torch.equal(value, modules[1].state_dict()[name]), name
    assert (forward(modules[0], genes) == forward(modules[0], changed)).all()


def test_equal_values_vote_half():
    module = module_of(TopPairs, 2, 2)
    pairs, counts = np.zeros((2, 9, 2), dtype=np.int64), np.zeros((2, 9))
    pairs[1, 0], counts[1, 0] = (0, 1), 1.0
    module.set(pairs, counts, np.zeros((2, 2)), np.zeros(2))
    assert module.shares(torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])).tolist() == [[0, 1], [0, 0], [0, 0.5]]


def test_top_pairs_read_values_as_they_are(cohort, tmp_path):
    out = cohort.run("top_pairs", 0, tmp_path)
    fitted = load_fold(out)
    rna = fitted.transforms.expression
    x = cohort.expression.set_index("patient")[rna.kept_genes]
    np.testing.assert_array_equal(rna(x), x.to_numpy(np.float32))


def test_one_gene_alone_cannot_be_compared(cohort, tmp_path):
    table = cohort.expression[["patient", "G0"]]
    with pytest.raises(InputError, match="'top_pairs' compares genes"):
        cohort.run("top_pairs", 0, tmp_path, expression=table)


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("model", SIMPLE)
def test_a_class_without_training_patients_is_ruled_out(cohort, tmp_path, model):
    folds = cohort.folds.merge(cohort.patients[["patient", "label"]])
    folds = folds[(folds["fold"] == 0) & ~((folds["role"] == "train") & (folds["label"] == "c"))]
    if model.startswith("logistic"):  # those are fitted on validation patients too
        folds = folds[~((folds["role"] == "val") & (folds["label"] == "c"))]
    out = cohort.run(model, 0, tmp_path, folds=folds.drop(columns="label"))
    table = read_table(out / "predictions.parquet")
    assert (table["p_c"] == 0).all() and np.allclose(table[P].sum(axis=1), 1) and load_fold(out).info.name == model


def test_a_class_of_the_users_centroids_needs_no_training_patient():
    genes = np.random.default_rng(0).normal(size=(8, 6))
    module = module_of(Centroid, 6, 3)
    fit_centroid(module, genes, np.resize([0, 1], 8), given=np.random.default_rng(1).normal(size=(3, 6)))
    assert np.isfinite(forward(module, genes)).all()
    means, counts = class_means(genes, np.resize([0, 1], 8), n_classes=3)
    assert counts.tolist() == [4, 4, 0] and (means[2] == 0).all()


@pytest.mark.parametrize("model", ["top_pairs", "centroid", "logistic_image"])
def test_patients_without_a_modality_are_left_out(cohort, tmp_path, model):
    modality = next(iter(catalog.get(model).modalities))
    lacking = set(cohort.patients["patient"].iloc[::7])
    patients = cohort.patients.copy()
    patients.loc[patients["patient"].isin(lacking), f"has_{modality}"] = False
    changes = {"patients": patients}
    if modality == "expression":
        changes["expression"] = cohort.expression[~cohort.expression["patient"].isin(lacking)]
    else:
        changes["slides"] = cohort.slides[~cohort.slides["patient"].isin(lacking)]
    table = read_table(cohort.run(model, 0, tmp_path, **changes) / "predictions.parquet")
    assert set(table["patient"]) == set(patients["patient"]) - lacking
