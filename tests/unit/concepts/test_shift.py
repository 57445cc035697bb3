"""Transfer and shift: frozen classifiers on shared classes, and measures against their definitions."""

import dataclasses

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import spearmanr
from score_data import OF_CLASS, cohort_of, data_of, encode, few_penalties, images_table, write_shard  # noqa: F401
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from histoweave.concepts.levels import make_levels
from histoweave.concepts.representations import REPRESENTATIONS, Choice
from histoweave.concepts.shift import Cohort, shift
from histoweave.concepts.transfer import score_transfer, transfer_classes, transfer_predictions
from histoweave.settings.concepts import Concepts
from histoweave.settings.evaluation import Evaluation
from histoweave.settings.folds import Folds

EVALUATION = Evaluation(bootstrap=1000)
SETTINGS = Concepts(top_images=5)


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    images = images_table(90, patients=30)
    return images, cohort_of(write_shard(tmp_path_factory.mktemp("train") / "0.h5", images), images)


@pytest.fixture(scope="module")
def external(tmp_path_factory):
    """Another laboratory: another stain, no monocyte, one class that the training cohort does not have."""
    images = images_table(60, patients=60, classes=("lymphocyte", "neutrophil"), seed=5, prefix="e")
    path = write_shard(tmp_path_factory.mktemp("external") / "0.h5", images, seed=6, stain=0.6)
    images.loc[:4, "label"] = "blast"
    images["patient_label"] = None
    return images, cohort_of(path, images)


def transferred(train, external, *, names=tuple(REPRESENTATIONS)):
    levels = make_levels(train[0], settings=Folds(n_folds=3))
    others = make_levels(external[0], settings=Folds(), external=True)
    cohorts = data_of(train[1]), levels, data_of(external[1]), others
    predictions = transfer_predictions(*cohorts, choice=Choice(seed=1), names=names)
    return predictions, transfer_classes(levels, others)


@pytest.fixture(scope="module")
def transfer(train, external):
    return transferred(train, external)


def test_every_external_image_is_predicted_with_all_training_classes(transfer):
    predictions, _ = transfer
    assert set(predictions["representation"]) == set(REPRESENTATIONS)
    images = predictions[predictions["level"] == "image"]
    assert (images.groupby("representation").size() == 60).all()
    np.testing.assert_allclose(images[[f"p_{name}" for name in OF_CLASS]].sum(axis=1), 1)
    patients = predictions[predictions["level"] == "patient"]  # no label there, and predicted all the same
    assert (patients.groupby("representation").size() == 60).all() and patients["y_true"].isna().all()


def test_classes_that_are_not_shared_are_named(transfer):
    classes = transfer[1].set_index(["level", "class"])
    assert classes.loc[("image", "monocyte"), "reason"] == "not in the external cohort"
    assert classes.loc[("image", "blast"), "reason"] == "not in the training cohort"
    assert classes.loc["image"]["scored"].to_dict() == {
        "blast": False, "lymphocyte": True, "monocyte": False, "neutrophil": True
    }  # fmt: skip
    assert (classes.loc["patient", "reason"] == "not in the external cohort").all()
    assert classes.loc[("image", "blast"), "n_external"] == 5


def test_scores_are_of_the_shared_classes_given_that_it_is_one_of_them(transfer):
    predictions, classes = transfer
    tables = score_transfer(predictions, classes, settings=EVALUATION, seed=0)
    metrics = tables["metrics"].set_index(["level", "representation", "scope", "metric"])
    assert set(tables["metrics"]["level"]) == {"image"}
    shared = ["lymphocyte", "neutrophil"]
    for name in ("concepts", "raw", "kmeans"):
        rows = predictions[
            (predictions["representation"] == name)
            & (predictions["level"] == "image")
            & predictions["y_true"].isin(shared)
        ]
        called = np.array(shared)[rows[[f"p_{c}" for c in shared]].to_numpy().argmax(axis=1)]
        expected = balanced_accuracy_score(rows["y_true"].to_numpy(dtype=str), called)
        found = metrics.loc[("image", name, "pooled", "balanced_accuracy")]
        assert found["estimate"] == pytest.approx(expected) and found["n_images"] == 55
        assert found["ci_low"] <= expected <= found["ci_high"]
    assert metrics.loc[("image", "concepts", "pooled", "balanced_accuracy"), "estimate"] > 0.9
    assert set(tables["comparisons"]["representation_b"]) == set(REPRESENTATIONS) - {"concepts"}


def test_nothing_is_fitted_on_the_external_cohort(train, external, transfer):
    """Each image's probabilities are the same when it comes alone: no scaler, no mean, no centre of that cohort."""
    one = external[0].iloc[[17]].reset_index(drop=True)
    tokens = external[1].tokens.select(one["image"])
    alone = dataclasses.replace(
        external[1], images=one, tokens=tokens, means=external[1].means[[17]], features=external[1].features[[17]]
    )
    found, _ = transferred(train, (one, alone))
    columns = [f"p_{name}" for name in OF_CLASS]
    key = ["level", "representation", "image"]
    both = found[found["level"] == "image"].merge(transfer[0], on=key, suffixes=("", "_all"))
    assert len(both) == len(REPRESENTATIONS)
    np.testing.assert_allclose(both[columns], both[[f"{c}_all" for c in columns]], rtol=1e-4, atol=1e-7)


def test_an_external_cohort_without_labels(train, external):
    unlabelled = external[0].assign(label=None)
    predictions, classes = transferred(train, (unlabelled, external[1]), names=["raw"])
    assert len(predictions) and predictions["y_true"].isna().all() and not classes["scored"].any()
    tables = score_transfer(predictions, classes, settings=EVALUATION, seed=0)
    assert tables["metrics"].empty and tables["comparisons"].empty
    summary, concepts = run_shift(train, (unlabelled, external[1]))
    assert np.isfinite(summary.loc["explained_variance", "external"])
    assert np.isnan(summary.loc["pure_label_kept", "external"])
    assert concepts["cohort_auroc_within_label"].isna().all() and concepts["cohort_auroc"].notna().all()


def run_shift(train, external):
    one, other = (Cohort(activations=encode(cohort), images=images) for images, cohort in (train, external))
    summary, concepts = shift(one, other, settings=SETTINGS, evaluation=EVALUATION, seed=0)
    return summary.set_index("measure"), concepts


@pytest.fixture(scope="module")
def shifted(train, external):
    return run_shift(train, external)


def statistics(activations):
    dense = activations.mean.toarray().astype(np.float64)
    fires = dense > 0
    with np.errstate(invalid="ignore"):
        mean = dense.sum(axis=0) / fires.sum(axis=0)
    return fires.mean(axis=0), mean, np.nan_to_num(mean) >= SETTINGS.dead_below, dense


def test_measures_are_their_definitions(train, external, shifted):
    summary, table = shifted
    one, other = encode(train[1]), encode(external[1])
    (rate, mean, alive, dense), (rate_e, mean_e, alive_e, dense_e) = statistics(one), statistics(other)
    expected = {
        "explained_variance": other.explained_variance,
        "l0": other.l0,
        "alive": alive_e.sum(),
        "alive_share": (alive & alive_e).sum() / alive.sum(),
        "jaccard": (alive & alive_e).sum() / (alive | alive_e).sum(),
        "spearman_firing_rate": spearmanr(rate[alive], rate_e[alive]).statistic,
        "spearman_mean_activation": spearmanr(mean[alive], np.nan_to_num(mean_e[alive])).statistic,
    }
    for measure, value in expected.items():
        assert summary.loc[measure, "external"] == pytest.approx(value), measure
    for measure in ("explained_variance", "l0"):
        assert summary.loc[measure, "ci_low"] <= expected[measure] <= summary.loc[measure, "ci_high"]
    assert summary.loc["explained_variance", "train"] == pytest.approx(one.explained_variance)
    np.testing.assert_allclose(table["firing_rate_external"], rate_e)
    np.testing.assert_allclose(table["mean_activation_train"], mean, rtol=1e-5)
    both = np.vstack([dense, dense_e])
    for latent in (0, 3, 20):
        cohort = np.arange(len(both)) >= len(dense)
        assert table.loc[latent, "cohort_auroc"] == pytest.approx(roc_auc_score(cohort, both[:, latent]))
    within = [
        roc_auc_score(
            np.repeat([0, 1], [(train[0]["label"] == label).sum(), (external[0]["label"] == label).sum()]),
            np.concatenate([dense[train[0]["label"] == label, 3], dense_e[external[0]["label"] == label, 3]]),
        )
        for label in ("lymphocyte", "neutrophil")
    ]
    assert table.loc[3, "cohort_auroc_within_label"] == pytest.approx(np.mean(within))


def test_the_interval_is_that_of_resampled_patients(train, external, shifted):
    """Explained variance by hand on the draws that the evaluation's bootstrap makes."""
    from histoweave.evaluation.bootstrap import weights

    other = encode(external[1])
    place = np.argsort(np.argsort(external[0]["patient"]))  # every image is its own patient there
    drawn = [1 - (w[:, place] @ other.error) / (w[:, place] @ other.deviation) for w in weights(60, draws=1000, seed=0)]
    low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975])
    assert shifted[0].loc["explained_variance", ["ci_low", "ci_high"]].tolist() == pytest.approx([low, high])


def test_a_cohort_against_itself_has_not_shifted(train):
    summary, table = run_shift(train, train)
    for measure in ("alive_share", "jaccard", "spearman_firing_rate", "spearman_mean_activation", "pure_label_kept"):
        assert summary.loc[measure, "external"] == pytest.approx(1)
    assert summary.loc["cohort_auroc_median", "external"] == pytest.approx(0.5)
    assert summary.loc["cohort_auroc_stain_free_share", "external"] == 1
    assert (table["top_label_train"].fillna("") == table["top_label_external"].fillna("")).all()


def test_the_stain_is_seen_in_its_concept_and_classes_are_kept(shifted):
    summary, table = shifted
    assert table["cohort_auroc"].idxmax() == 0 and table.loc[0, "cohort_auroc"] > 0.9
    for label in ("lymphocyte", "neutrophil"):
        row = table.loc[OF_CLASS[label]]
        assert row["top_label_train"] == row["top_label_external"] == label
        assert abs(row["label_entropy_train"]) < 1e-6 and abs(row["label_entropy_external"]) < 1e-6
    assert summary.loc["pure_concepts", "train"] >= 2
    assert 0 < summary.loc["pure_label_kept", "external"] <= 1


def test_few_patients_and_a_cohort_in_which_nothing_fires(train, external):
    images, cohort = external[0], encode(external[1])
    few = images.assign(patient=[f"p{i % 9}" for i in range(len(images))])
    one = Cohort(activations=encode(train[1]), images=train[0])
    summary, _ = shift(one, Cohort(activations=cohort, images=few), settings=SETTINGS, evaluation=EVALUATION, seed=0)
    assert summary["ci_low"].isna().all() and summary["external"].notna().all()
    silent = dataclasses.replace(
        cohort, mean=csr_matrix(cohort.mean.shape, dtype=np.float32), n_active=np.zeros_like(cohort.n_active)
    )
    summary, table = shift(
        one, Cohort(activations=silent, images=images), settings=SETTINGS, evaluation=EVALUATION, seed=0
    )
    summary = summary.set_index("measure")["external"]
    assert summary["alive"] == 0 == summary["jaccard"] and np.isnan(summary["spearman_firing_rate"])
    assert table["mean_activation_external"].isna().all() and table["top_label_external"].isna().all()
