"""Classification and probes: planted concepts are found, chance stays chance, nothing held out is seen."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from score_data import GRANULES, OF_CLASS, cohort_of, data_of, few_penalties, images_table, write_shard  # noqa: F401
from sklearn import metrics as reference
from sklearn.metrics import roc_auc_score

from histoweave.concepts.classify import predict_fold, score_levels
from histoweave.concepts.concept_folds import concept_folds
from histoweave.concepts.levels import make_levels
from histoweave.concepts.probes import PROBED, probe_fold, score_probes
from histoweave.concepts.representations import REPRESENTATIONS, Choice
from histoweave.concepts.score_tables import in_slices
from histoweave.settings.evaluation import Evaluation
from histoweave.settings.folds import Folds

FOLDS = Folds(n_folds=2)
EVALUATION = Evaluation(bootstrap=1000)
CHOICE = Choice(seed=2)


def cross_validate(images, data, *, names=tuple(REPRESENTATIONS)):
    levels = make_levels(images, settings=FOLDS)
    folds = concept_folds(images, settings=FOLDS, seed=1)
    tables, probes = [], []
    for fold, rows in folds.groupby("fold"):
        is_train = rows.set_index("patient")["role"] == "train"
        arguments = {"is_train": is_train, "fold": fold, "choice": CHOICE}
        tables.append(predict_fold(data, levels, image_patients=images["patient"], names=names, **arguments))
        probes += probe_fold(data, images, targets=["label", "granularity"], **arguments)
    return levels, pd.concat(tables, ignore_index=True), probes


@pytest.fixture(scope="module")
def images():
    return images_table(120, patients=30)


@pytest.fixture(scope="module")
def shard(images, tmp_path_factory):
    return write_shard(tmp_path_factory.mktemp("shard") / "0.h5", images)


@pytest.fixture(scope="module")
def data(images, shard):
    return data_of(cohort_of(shard, images))


@pytest.fixture(scope="module")
def result(images, data):
    return cross_validate(images, data)


@pytest.fixture(scope="module")
def scored(result):
    return score_levels(result[1], result[0], settings=EVALUATION, seed=3)


def test_every_image_and_patient_is_predicted_once_by_every_representation(images, result):
    _, predictions, _ = result
    counts = predictions.groupby(["level", "representation"]).size().unstack()
    assert set(counts.columns) == set(REPRESENTATIONS)
    assert (counts.loc["image"] == 120).all() and (counts.loc["patient"] == 30).all()
    of_images = predictions[predictions["level"] == "image"]
    assert not of_images.duplicated(["representation", "image"]).any()
    truth = of_images["image"].map(images.set_index("image")["label"])
    assert (truth == of_images["y_true"]).all()
    for level, classes in (("image", sorted(OF_CLASS)), ("patient", ["AML", "control"])):
        p = predictions.loc[predictions["level"] == level, [f"p_{name}" for name in classes]]
        np.testing.assert_allclose(p.sum(axis=1), 1)


def test_metrics_are_scikit_learns(result, scored):
    _, predictions, _ = result
    classes = sorted(OF_CLASS)
    table = scored["metrics"].set_index(["level", "representation", "scope", "metric"])["estimate"]
    for name in ("concepts", "random", "pca_small"):
        rows = predictions[(predictions["level"] == "image") & (predictions["representation"] == name)]
        p, y = rows[[f"p_{c}" for c in classes]].to_numpy(), rows["y_true"].to_numpy(dtype=str)
        called = np.array(classes)[p.argmax(axis=1)]
        expected = {
            "accuracy": reference.accuracy_score(y, called),
            "balanced_accuracy": reference.balanced_accuracy_score(y, called),
            "f1_macro": reference.f1_score(y, called, average="macro"),
            "f1_weighted": reference.f1_score(y, called, average="weighted"),
            "auroc": np.mean([roc_auc_score(y == c, p[:, k]) for k, c in enumerate(classes)]),
            "average_precision": np.mean(
                [reference.average_precision_score(y == c, p[:, k]) for k, c in enumerate(classes)]
            ),
        }
        for metric, value in expected.items():
            assert table["image", name, "pooled", metric] == pytest.approx(value)
        assert table["image", name, f"class:{classes[1]}", "recall"] == pytest.approx(
            reference.recall_score(y == classes[1], called == classes[1])
        )


def test_planted_classes_are_learned_and_intervals_hold_the_estimate(scored):
    table = scored["metrics"]
    pooled = table[table["scope"] == "pooled"]
    assert (pooled["ci_low"] <= pooled["estimate"]).all() and (pooled["estimate"] <= pooled["ci_high"]).all()
    best = pooled[(pooled["representation"] == "concepts") & (pooled["metric"] == "balanced_accuracy")]
    assert (best["estimate"] > 0.85).all() and set(best["level"]) == {"image", "patient"}
    assert (table["n_patients"] == 30).all()


def test_comparisons_are_paired_differences(scored):
    metrics = scored["metrics"].set_index(["level", "representation", "scope", "metric"])["estimate"]
    comparisons = scored["comparisons"]
    assert set(comparisons["representation_b"]) == set(REPRESENTATIONS) - {"concepts"}
    for row in comparisons.itertuples():
        key = row.level, "pooled", row.metric
        a, b = (metrics[key[0], name, key[1], key[2]] for name in ("concepts", row.representation_b))
        assert row.difference == pytest.approx(a - b)
        assert row.ci_low <= row.difference + 1e-12 and row.difference - 1e-12 <= row.ci_high


def test_shuffled_labels_are_chance(images, data):
    rng = np.random.default_rng(0)
    shuffled = images.assign(label=rng.permutation(images["label"]), patient_label=None)
    levels, predictions, _ = cross_validate(shuffled, data, names=["concepts", "kmeans"])
    table = score_levels(predictions, levels, settings=EVALUATION, seed=3)["metrics"]
    auroc = table[(table["scope"] == "pooled") & (table["metric"] == "auroc")]
    assert set(auroc["level"]) == {"image"}
    assert (auroc["estimate"].between(0.38, 0.62)).all()


def test_probes_find_the_planted_concepts(result):
    _, _, probes = result
    table = score_probes(probes, settings=EVALUATION, seed=1)
    pooled = table[(table["scope"] == "pooled") & (table["representation"] == "concepts")]
    pooled = pooled.set_index(["target", "value"])
    for label, latent in OF_CLASS.items():
        assert pooled.loc[("label", label), "concept"] == latent and pooled.loc[("label", label), "auroc"] > 0.95
    row = pooled.loc[("granularity", "yes")]
    assert row["concept"] == GRANULES and row["direction"] == 1 and row["auroc"] > 0.95
    assert row["ci_low"] <= row["auroc"] <= row["ci_high"]
    assert pooled.loc[("granularity", "no"), "direction"] == -1
    assert row["n_images"] == 108  # every tenth is blank
    assert set(table["representation"]) == set(PROBED)


def test_pooled_probe_is_the_share_of_concordant_pairs_within_folds(result):
    _, _, probes = result
    table = score_probes(probes, settings=EVALUATION, seed=1).set_index(["target", "value", "representation", "scope"])
    chosen = [p for p in probes if (p.target, p.value, p.representation) == ("label", "monocyte", "random")]
    assert len(chosen) == 2
    right = pairs = 0.0
    for probe in chosen:
        one, other = probe.score[probe.positive], probe.score[~probe.positive]
        right += (one[:, None] > other).sum() + 0.5 * (one[:, None] == other).sum()
        pairs += len(one) * len(other)
        key = ("label", "monocyte", "random", f"fold{probe.fold}")
        assert table.loc[key, "auroc"] == pytest.approx(roc_auc_score(probe.positive, probe.score))
    assert table.loc[("label", "monocyte", "random", "pooled"), "auroc"] == pytest.approx(right / pairs)


def test_nothing_held_out_is_seen(images, data, shard):
    """What one fold's test images hold changes neither their classifier nor which concept is the best."""
    levels = make_levels(images, settings=FOLDS)
    folds = concept_folds(images, settings=FOLDS, seed=1)
    is_train = folds[folds["fold"] == 0].set_index("patient")["role"] == "train"
    in_test = ~is_train[images["patient"]].to_numpy()
    swapped = images.copy()
    swapped.loc[in_test, "label"] = np.roll(images.loc[in_test, "label"], 1)  # other labels of what is held out
    arguments = {"is_train": is_train, "fold": 0, "choice": CHOICE}
    predicted = {"image_patients": images["patient"], "names": ["concepts", "pca"], **arguments}
    one = predict_fold(data, levels, **predicted)
    other_levels = make_levels(swapped, settings=FOLDS)
    two = predict_fold(data, other_levels, **predicted)
    assert not one["y_true"].equals(two["y_true"])
    pd.testing.assert_frame_equal(one.drop(columns="y_true"), two.drop(columns="y_true"))

    noise = np.random.default_rng(0).choice([0.0, 1e4], (in_test.sum(), data.means.shape[1])).astype(np.float32)
    spoilt = dataclasses.replace(data, means=data.means.copy(), features=data.features.copy())
    spoilt.means[in_test], spoilt.features[in_test] = noise, noise
    concepts = data.concepts.mean.tolil(copy=True)
    concepts[in_test] = 1e4
    spoilt = dataclasses.replace(spoilt, concepts=dataclasses.replace(data.concepts, mean=concepts.tocsr()))
    targets = {"targets": ["label", "granularity"], **arguments}
    for a, b in zip(probe_fold(data, images, **targets), probe_fold(spoilt, images, **targets), strict=True):
        assert (a.column, a.direction, a.auroc_train) == (b.column, b.direction, b.auroc_train)
    three = predict_fold(spoilt, levels, **predicted)
    assert one["inverse_penalty"].equals(three["inverse_penalty"])
    concept_rows = one["representation"] == "concepts"
    columns = [f"p_{name}" for name in OF_CLASS]
    assert not np.allclose(one.loc[concept_rows, columns].dropna(), three.loc[concept_rows, columns].dropna())


def test_patient_vectors_do_not_change_when_every_cell_is_there_twice(images):
    matrix = np.random.default_rng(0).random((len(images), 5))
    level = make_levels(images, settings=FOLDS)[1]
    twice = pd.concat([images, images.assign(image=images["image"] + "x")], ignore_index=True)
    doubled = make_levels(twice, settings=FOLDS)[1]
    np.testing.assert_allclose(level.vectors(matrix), doubled.vectors(np.vstack([matrix, matrix])))
    expected = pd.DataFrame(matrix).groupby(images["patient"]).mean()
    np.testing.assert_allclose(level.vectors(matrix), expected)


def test_one_class_only_is_a_status_and_the_rest_goes_on(images, data):
    one_class = images.assign(label="lymphocyte")
    levels, predictions, probes = cross_validate(one_class, data, names=["raw"])
    assert levels[0].classes == [] and "lymphocyte: 30" in levels[0].reason
    assert set(predictions["level"]) == {"patient"}
    assert {probe.target for probe in probes} == {"granularity"}
    unlabelled = images.assign(label=None, patient_label=None, granularity=None)
    levels, predictions, probes = cross_validate(unlabelled, data)
    assert predictions.empty and probes == [] and "no labels" in levels[0].reason
    tables = score_levels(predictions, levels, settings=EVALUATION, seed=0)
    assert tables["metrics"].empty and "estimate" in tables["metrics"]
    assert score_probes(probes, settings=EVALUATION, seed=0).empty


def test_a_rare_class_is_left_out_and_named(images):
    rare = images.copy()
    rare.loc[:1, "label"] = "blast"
    level = make_levels(rare, settings=FOLDS)[0]
    assert level.classes == sorted(OF_CLASS) and level.scored.sum() == 118
    row = level.table.set_index("class").loc["blast"]
    assert not row["scored"] and row["n_patients"] == 2 and row["reason"] == "fewer than 3 patients"


def test_few_patients_get_no_interval(images, data):
    few = images.assign(patient=images["patient"].str[-1], patient_label=None)  # 10 patients
    nine = few.assign(patient=few["patient"].replace("9", "8"))
    for table, has_interval in ((few, True), (nine, False)):
        levels, predictions, _ = cross_validate(table, data, names=["raw"])
        metrics = score_levels(predictions, levels, settings=EVALUATION, seed=0)["metrics"]
        assert metrics.loc[metrics["metric"] == "accuracy", "ci_low"].notna().all() == has_interval


def test_slices_of_draws_change_nothing():
    w = np.random.default_rng(0).random((17, 5))
    sliced = in_slices(lambda v: v @ np.arange(10.0).reshape(5, 2), 1 << 21)(w)
    np.testing.assert_array_equal(sliced, w @ np.arange(10.0).reshape(5, 2))


def test_the_same_seed_gives_the_same_tables(images, data, result):
    names = ["kmeans", "random"]
    again = cross_validate(images, data, names=names)[1]
    first = result[1][result[1]["representation"].isin(names)].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, first, check_exact=True)
