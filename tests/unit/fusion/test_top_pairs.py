"""Top-scoring gene pairs: against a search through all pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from fusion_cohort import Cohort
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from simple_models_data import forward, module_of, three_classes
from sklearn.metrics import roc_auc_score

from histoweave.errors import InputError
from histoweave.fusion.fitted import load_fold
from histoweave.fusion.models.best_gene import auroc
from histoweave.fusion.models.top_pairs import TopPairs, best_pairs, candidates, fit_top_pairs, lower_shares


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    return three_classes(tmp_path_factory)


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
