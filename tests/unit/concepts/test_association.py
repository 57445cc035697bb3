"""AUROC, its error and its p-value against scikit-learn, SciPy and the definitions written out."""

import time

import numpy as np
import pandas as pd
import pytest
from concept_data import images_table, sparse_matrix
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.stats import false_discovery_control, mannwhitneyu, norm, rankdata
from sklearn.metrics import roc_auc_score

from histoweave.concepts import ranking
from histoweave.concepts.association import COLUMNS, associations, worth_keeping
from histoweave.concepts.ranking import aurocs
from histoweave.errors import InputError


def obuchowski(score, positive, patients):
    """AUROC and its standard error for clustered data, as Obuchowski (1997) writes it."""
    x, y = score[positive], score[~positive]
    wins = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    auroc, m, n = wins.mean(), len(x), len(y)
    a, b = [], []
    for patient in np.unique(patients):
        mine_x, mine_y = patients[positive] == patient, patients[~positive] == patient
        a.append(wins.mean(axis=1)[mine_x].sum() - mine_x.sum() * auroc)
        b.append(wins.mean(axis=0)[mine_y].sum() - mine_y.sum() * auroc)
    a, b = np.array(a), np.array(b)
    with_x, with_y = len(np.unique(patients[positive])), len(np.unique(patients[~positive]))
    both = len(a)
    if min(with_x, with_y) < 2:
        return auroc, np.nan
    s10 = with_x / ((with_x - 1) * m) * (a**2).sum()
    s01 = with_y / ((with_y - 1) * n) * (b**2).sum()
    s11 = both / (both - 1) * (a * b).sum()
    return auroc, np.sqrt(max(s10 / m + s01 / n + 2 * s11 / (m * n), 0))


def clustered_p(score, positive, patients):
    """Mann–Whitney with the design effect of an intraclass correlation of the ranks."""
    ranks, m, n = rankdata(score), positive.sum(), (~positive).sum()
    names, sizes = np.unique(patients, return_counts=True)
    total, many = len(score), len(names)
    if many == 1:
        return np.nan
    means = np.array([ranks[patients == name].mean() for name in names])
    between = (sizes * (means - ranks.mean()) ** 2).sum() / (many - 1)
    rho = 0.0
    if many < total:
        within = sum(((ranks[patients == name] - mean) ** 2).sum() for name, mean in zip(names, means, strict=True))
        within /= total - many
        size = (total - (sizes**2).sum() / total) / (many - 1)
        scale = between + (size - 1) * within
        rho = np.clip((between - within) / scale, 0, 1) if scale > 0 else 0.0
    weights = np.where(positive, 1 / m, -1 / n)
    together = sum(weights[patients == name].sum() ** 2 for name in names)
    spread = (total - 1) / (total - 1 - rho * ((sizes**2).sum() / total - 1))
    effect = max(spread * (1 + rho * (together / (weights**2).sum() - 1)), 1)
    variance = ((ranks - ranks.mean()) ** 2).sum() / (total * (total - 1) * m * n)
    auroc = (ranks[positive].sum() - m * (m + 1) / 2) / (m * n)
    return 2 * norm.sf(abs(auroc - 0.5) / np.sqrt(variance * effect))


@given(
    st.integers(0, 2**32 - 1), st.integers(8, 40), st.integers(2, 4), st.sampled_from([1, 2, 5, 1000]),
    st.sampled_from([None, 2, 5]), st.sampled_from([1, 50, 1 << 20]),
)  # fmt: skip
@settings(deadline=None, derandomize=True, max_examples=60)
def test_equals_the_definitions(seed, n, n_classes, n_patients, levels, at_once):
    rng = np.random.default_rng(seed)
    matrix = sparse_matrix(n, 6, density=rng.choice([0.1, 0.5, 1.0]), levels=levels, seed=seed)
    classes = np.concatenate([np.arange(n_classes), rng.integers(n_classes, size=n - n_classes)])
    patients = rng.integers(n_patients, size=n) if n_patients < 1000 else np.arange(n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_VALUES_AT_ONCE", at_once)
        found = aurocs(matrix, classes, patients)
    for latent, score in enumerate(matrix.toarray().T):
        if not score.any():
            continue
        for code in range(n_classes):
            positive = classes == code
            auroc, se = obuchowski(score, positive, patients)
            assert found.auroc[latent, code] == pytest.approx(roc_auc_score(positive, score), abs=1e-12)
            assert found.auroc[latent, code] == pytest.approx(auroc, abs=1e-12)
            assert found.se[latent, code] == pytest.approx(se, abs=1e-7, nan_ok=True)
            p = clustered_p(score, positive, patients)
            assert found.p[latent, code] == pytest.approx(p, rel=1e-6, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("levels", [None, 3])
def test_one_image_per_patient_is_mann_whitney_and_delong(levels):
    n = 60
    score = sparse_matrix(n, 1, density=0.6, levels=levels)
    positive = np.arange(n) % 3 == 0
    found = aurocs(score, positive.astype(int), np.arange(n))
    values = score.toarray().ravel().astype(float)
    reference = mannwhitneyu(values[positive], values[~positive], method="asymptotic", use_continuity=False)
    assert found.p[0, 1] == pytest.approx(reference.pvalue, rel=1e-9)
    assert found.auroc[0, 1] == pytest.approx(reference.statistic / (positive.sum() * (~positive).sum()))
    wins = (values[positive][:, None] > values[~positive]) + 0.5 * (values[positive][:, None] == values[~positive])
    delong = wins.mean(axis=1).var(ddof=1) / positive.sum() + wins.mean(axis=0).var(ddof=1) / (~positive).sum()
    assert found.se[0, 1] == pytest.approx(np.sqrt(delong), rel=1e-9)


def test_images_that_are_all_alike_within_a_patient_count_as_one():
    per_patient = np.array([1.0, 4, 2, 6, 5, 3, 8, 7])
    label = np.array([0, 0, 0, 1, 0, 0, 1, 1])
    once = aurocs(csr_matrix(per_patient[:, None]), label, np.arange(8))
    often = aurocs(csr_matrix(np.repeat(per_patient, 25)[:, None]), np.repeat(label, 25), np.repeat(np.arange(8), 25))
    np.testing.assert_allclose(often.auroc, once.auroc)
    np.testing.assert_allclose(often.se, once.se)  # 25 times the images are not 25 times the evidence
    np.testing.assert_allclose(often.p, once.p)
    naive = mannwhitneyu(np.repeat(per_patient[label == 1], 25), np.repeat(per_patient[label == 0], 25))
    assert naive.pvalue < 1e-20 < 0.01 < often.p[0, 0]


def null_p_values(*, label_of_patient):
    """p-values of concepts that vary by patient and know nothing of the label; patient-aware, and of plain images."""
    rng = np.random.default_rng(11)
    n_patients, per_patient, n_latents = 24, 30, 400
    patients = np.repeat(np.arange(n_patients), per_patient)
    level = rng.normal(size=(n_patients, n_latents))[patients]
    scores = csr_matrix(np.exp(level + rng.normal(size=level.shape)))
    labels = np.arange(n_patients)[patients] % 2 if label_of_patient else rng.integers(2, size=len(patients))
    return aurocs(scores, labels, patients).p[:, 0], aurocs(scores, labels, np.arange(len(patients))).p[:, 0]


def test_false_positives_stay_rare_where_patients_differ():
    aware, naive = null_p_values(label_of_patient=True)
    assert (aware < 0.05).mean() < 0.09
    assert (naive < 0.05).mean() > 0.5


def test_labels_within_patients_are_never_judged_more_lightly_than_single_images():
    aware, naive = null_p_values(label_of_patient=False)
    assert (aware < 0.05).mean() < 0.07
    assert (aware >= naive - 1e-12).all()


def test_a_single_patient_cannot_be_tested_and_a_single_positive_one_has_no_error():
    score = sparse_matrix(10, 1, density=1.0)
    label = np.arange(10) % 2
    alone = aurocs(score, label, np.zeros(10, dtype=int))
    assert np.isnan(alone.p).all() and np.isnan(alone.se).all() and np.isfinite(alone.auroc).all()
    marked = aurocs(
        csr_matrix(np.repeat([5.0, 1, 2, 3, 4], 20)[:, None]), np.repeat([1, 0, 0, 0, 0], 20), np.repeat(range(5), 20)
    )
    assert marked.auroc[0, 1] == 1
    assert np.isnan(marked.se[0, 1])
    assert marked.p[0, 1] > 0.05  # twenty images of one patient prove nothing


def cohort(n=90, seed=4):
    rng = np.random.default_rng(seed)
    patients = [f"p{number}" for number in rng.integers(12, size=n)]
    return sparse_matrix(n, 15, density=0.4, seed=seed), images_table(
        n,
        patients=patients,
        label=rng.choice(["mono", "lympho", None], n),
        patient_label=[["sick", "well", None][int(patient[1:]) % 3] for patient in patients],
        granules=rng.choice(["yes", "no", None], n),
        only=["one"] * n,
        blank=[None] * n,
    )


def test_associations():
    matrix, images = cohort()
    table = associations(matrix, images, attributes=["granules", "only", "blank"])
    assert table.columns.tolist() == COLUMNS
    assert table["target"].unique().tolist() == ["label", "patient_label", "granules"]  # the others have no contrast
    dense = matrix.toarray()
    for row in table.sample(40, random_state=1).itertuples():
        if row.target == "patient_label":
            units = images.assign(score=dense[:, row.concept]).groupby("patient", as_index=False)
            units = units.agg({"score": "mean", "patient_label": "first"})
        else:
            units = images.assign(score=dense[:, row.concept])
        units = units[units[row.target].notna()]
        positive = units[row.target] == row.value
        assert row.auroc == pytest.approx(roc_auc_score(positive, units["score"].astype(float).round(12)), abs=1e-9)
        assert row.n_positive == positive.sum()
        assert row.n_patients == units["patient"].nunique()
        assert (
            row.n_images == images["patient"].isin(units["patient"]).sum()
            if row.target == "patient_label"
            else len(units)
        )
    np.testing.assert_allclose(table["q"], false_discovery_control(table["p"]))


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, derandomize=True, max_examples=10)
def test_the_order_of_images_changes_nothing(seed):
    matrix, images = cohort()
    order = np.random.default_rng(seed).permutation(len(images))
    one = associations(matrix, images, attributes=["granules"])
    other = associations(matrix[order], images.iloc[order].reset_index(drop=True), attributes=["granules"])
    pd.testing.assert_frame_equal(one, other, rtol=1e-9, atol=1e-12)


def test_a_concept_that_never_fires_where_the_label_is_known_has_no_row():
    matrix = csr_matrix([[0, 1.0], [0, 2], [0, 1], [5, 0]])
    table = associations(matrix, images_table(4, label=["a", "a", "b", None]))
    assert table["concept"].unique().tolist() == [1]


@pytest.mark.parametrize("label", [None, ["a"] * 4])
def test_nothing_to_compare_is_an_empty_table(label):
    table = associations(csr_matrix(np.ones((4, 2))), images_table(4, label=label))
    assert table.columns.tolist() == COLUMNS and not len(table)
    assert not len(worth_keeping(table))


def test_a_column_of_measurements_is_refused():
    images = images_table(120, area=[str(number) for number in range(120)])
    with pytest.raises(InputError, match="column 'area' has 120 different values, more than 100"):
        associations(csr_matrix(np.ones((120, 1))), images, attributes=["area"])


def test_kept_are_the_found_and_the_best_of_each_concept_and_target():
    table = pd.DataFrame(
        {
            "concept": [0, 0, 0, 1, 1],
            "target": ["t", "t", "u", "t", "t"],
            "auroc": [0.9, 0.8, 0.55, 0.52, 0.1],
            "q": [0.01, 0.02, 0.9, np.nan, 0.3],
        }
    )
    assert worth_keeping(table).index.size == 4
    assert worth_keeping(table)["auroc"].tolist() == [0.9, 0.8, 0.55, 0.1]


def test_speed_follows_what_is_stored():
    matrix = sparse_matrix(5000, 1500, density=0.05)
    images = images_table(
        5000, patients=[f"p{row % 100}" for row in range(5000)], label=[f"c{row % 9}" for row in range(5000)]
    )
    start = time.process_time()
    associations(matrix, images)
    assert time.process_time() - start < 10
