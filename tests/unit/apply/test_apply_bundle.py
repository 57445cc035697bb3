"""An external cohort through a bundle: the same models, nothing fitted, nobody lost without a reason."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from apply_data import MODELS, N_FOLDS, made_home, state
from scipy.special import softmax
from sklearn.metrics import accuracy_score, roc_auc_score

import histoweave
from histoweave.apply import compatibility
from histoweave.apply.read import opened
from histoweave.errors import InputError
from histoweave.fusion.fitted import load_fold
from histoweave.fusion.patients import PatientSet
from histoweave.settings.apply import Apply
from histoweave.settings.tiles import Tiles
from histoweave.storage.files import sha256_of
from histoweave.wiring.fingerprint import modules_used

COLUMNS = [
    "model", "patient", "y_true", "site", "has_image", "has_expression", "p_neg", "p_pos", "called", "entropy",
    "disagreement", "n_models", "set", "set_class", "status", "reason", "alignment",
]  # fmt: skip
P = ["p_neg", "p_pos"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return made_home(tmp_path_factory)


@pytest.fixture(scope="module")
def applied(home, tmp_path_factory):
    _, others, bundle = home
    return others.apply(bundle, tmp_path_factory.mktemp("applied"))


def test_an_ensemble_is_the_mean_of_the_fold_models_after_their_temperature(home, applied):
    training, others, _ = home
    table = applied["predictions"]
    assert list(table) == COLUMNS and table["status"].eq("ok").all() and table["n_models"].eq(N_FOLDS).all()
    assert list(table["model"].unique()) == MODELS and len(table) == len(MODELS) * 20
    everyone = PatientSet.of(
        others.patients, slides=others.slides, expression=others.expression, classes=list(training.classes)
    )
    for model in ("expression", "image", "cross_attention"):
        values = []
        for k in range(N_FOLDS):
            fitted = load_fold(training.fold_folder(model, k))
            p, _ = fitted.predict(fitted.batcher(everyone), image_of=everyone.ids, expression_of=everyone.ids)
            values.append(softmax(np.log(p) / 1.5, axis=1))
        rows = table[table["model"] == model]
        np.testing.assert_allclose(rows[P].to_numpy(), np.mean(values, axis=0), atol=1e-12)
        np.testing.assert_allclose(rows["disagreement"], np.std(values, axis=0).mean(axis=1), atol=1e-12)
        p = rows[P].to_numpy()
        np.testing.assert_allclose(rows["entropy"], -(p * np.log(p)).sum(axis=1))
        assert rows["called"].tolist() == np.array(["neg", "pos"])[p.argmax(axis=1)].tolist()


def test_labels_change_no_prediction_and_the_bundle_stays_as_it_is(home, applied, tmp_path):
    _, others, bundle = home
    before = sha256_of(bundle)
    changes = {
        "swapped": others.patients["label"].map({"neg": "pos", "pos": "neg"}),
        "none": None,
        "unknown": "something else",
    }
    kept = [column for column in COLUMNS if column != "y_true"]
    for name, labels in changes.items():
        found = replace(others, patients=others.patients.assign(label=labels)).apply(bundle, tmp_path / name)
        pd.testing.assert_frame_equal(found["predictions"][kept], applied["predictions"][kept])
        pd.testing.assert_frame_equal(found["members"], applied["members"])
        scored = len(found["metrics"]) > 0
        assert scored == (name == "swapped") and (len(found["coverage"]) > 0) == scored
        assert found["metrics"].dtypes.equals(applied["metrics"].dtypes)
        assert found["coverage"].dtypes.equals(applied["coverage"].dtypes)
    assert sha256_of(bundle) == before


def test_nothing_is_fitted(home, applied, tmp_path, monkeypatch):
    """Neither by what the modules import, nor while they run."""
    _, others, bundle = home
    used = modules_used("histoweave.apply.apply_bundle")
    assert not {"histoweave.fusion.fit", "histoweave.fusion.train", "histoweave.fusion.fusion_fold", "histoweave.sae.train",
                "histoweave.sae.fit_sae", "histoweave.apply.bundle", "histoweave.apply.training_reference"} & set(used)  # fmt: skip
    root = Path(histoweave.__file__).parent
    for module in (name for name in used if name.startswith("histoweave.apply")):
        path = root.parent.joinpath(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not any(
                    alias.name.startswith(("fit", "train")) for alias in node.names if alias.name != "fitted"
                )
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("fit", "fit_transform", "partial_fit", "backward", "step"), module

    def refuse(*_, **__):
        raise AssertionError("something was fitted")

    for name in ("sklearn.decomposition.PCA.fit", "sklearn.cluster.KMeans.fit", "torch.Tensor.backward",
                 "sklearn.linear_model.LogisticRegression.fit", "numpy.linalg.svd", "numpy.linalg.lstsq"):  # fmt: skip
        monkeypatch.setattr(name, refuse)
    for module in ("transforms.fit_components", "transforms.fit_expression", "fit.fit"):
        monkeypatch.setattr(f"histoweave.fusion.{module}", refuse)
    found = others.apply(bundle, tmp_path)
    pd.testing.assert_frame_equal(found["predictions"], applied["predictions"])


def test_a_patient_with_one_modality_gets_what_models_can_give(home, tmp_path):
    _, others, bundle = home
    fewer = others.without("image", ["P040", "P042"]).without("expression", ["P041", "P042"])
    found = fewer.apply(bundle, tmp_path)["predictions"].set_index(["model", "patient"])
    for model, reasons in {
        "image": ("no usable slide", "", "no usable slide and no RNA"),
        "expression": ("", "no RNA", "no usable slide and no RNA"),
        "late_mean": ("", "", "no usable slide and no RNA"),
        "cross_attention": ("", "", "no usable slide and no RNA"),
        "majority": ("", "", "no usable slide and no RNA"),
    }.items():
        for patient, reason in zip(("P040", "P041", "P042"), reasons, strict=True):
            row = found.loc[(model, patient)]
            assert row["reason"] == reason and row["status"] == ("cannot" if reason else "ok"), (model, patient)
            assert row[["p_pos", "entropy", "disagreement"]].isna().all() == bool(reason)
            assert (row["called"] is None) == bool(reason) and row["n_models"] == (0 if reason else N_FOLDS)
    assert (found.xs("P043", level="patient")["status"] == "ok").all()


def test_a_cohort_of_one_modality_is_predicted_and_scored(home, tmp_path):
    _, others, bundle = home
    only_rna = others.without("image", list(others.patients["patient"]))
    found = only_rna.apply(bundle, tmp_path)
    status = found["predictions"].groupby("model")["status"].first()
    assert status["image"] == "cannot" and status["cross_attention"] == "ok"
    assert set(found["metrics"]["model"]) == set(MODELS) - {"image", "logistic_image", "logistic_both"}
    assert found["metrics"].query("scope == 'pooled'")["n"].eq(20).all()


def test_metrics_are_those_of_scikit_learn(home, applied):
    table, metrics = applied["predictions"], applied["metrics"].set_index(["model", "scope", "metric"])
    assert set(metrics.index.get_level_values("scope")) == {
        "pooled", "class:neg", "class:pos", *(f"site:{site}" for site in home[1].patients["site"].unique()),
    }  # fmt: skip
    for model in MODELS:
        rows = table[table["model"] == model]
        y = rows["y_true"] == "pos"
        row = metrics.loc[(model, "pooled", "auroc")]
        assert row["estimate"] == pytest.approx(roc_auc_score(y, rows["p_pos"])) and row["n"] == 20
        accuracy = metrics.loc[(model, "pooled", "accuracy")]
        assert accuracy["estimate"] == pytest.approx(accuracy_score(rows["y_true"], rows["called"]))
        assert accuracy["ci_low"] <= accuracy["estimate"] <= accuracy["ci_high"]


def test_a_cohort_of_one_class_is_scored_as_far_as_that_goes(home, tmp_path):
    _, others, bundle = home
    found = replace(others, patients=others.patients.assign(label="neg")).apply(bundle, tmp_path)
    metrics = found["metrics"].query("scope == 'pooled' and model == 'image'").set_index("metric")["estimate"]
    assert np.isnan(metrics["auroc"]) and 0 <= metrics["accuracy"] <= 1


def test_missing_genes_count_as_their_training_mean(home, tmp_path):
    training, others, bundle = home
    with opened(bundle) as held:
        genes = held.manifest.expression.genes[::12]
    lacking = replace(others, expression=others.expression.drop(columns=genes[:-1]).assign(**{genes[-1]: np.nan}))
    content, _ = lacking.compare(bundle, tmp_path / "compare")
    assert content["missing_genes"] == genes
    assert content["missing_genes_share"] == pytest.approx(len(genes) / len(held.manifest.expression.genes), abs=1e-6)
    says = {check["what"]: check for check in content["checks"]}["genes"]
    assert says["status"] == "warn" and "training mean (0 after standardising)" in says["says"]
    found = lacking.apply(bundle, tmp_path / "apply")["members"].set_index(["model", "fold", "patient"]).sort_index()
    for k in range(N_FOLDS):
        fitted = load_fold(training.fold_folder("expression", k))
        rna = fitted.transforms.expression
        mean = dict(zip(rna.genes, rna.mean, strict=True))
        table = others.expression.assign(**{gene: mean[gene] for gene in genes})
        filled = PatientSet.of(others.patients, slides=others.slides, expression=table, classes=["neg", "pos"])
        p, _ = fitted.predict(fitted.batcher(filled), image_of=filled.ids, expression_of=filled.ids)
        np.testing.assert_allclose(found.loc[("expression", k), P], softmax(np.log(p) / 1.5, axis=1), atol=1e-6)


def test_too_many_missing_genes_are_refused(home, tmp_path):
    _, others, bundle = home
    with opened(bundle) as held:
        genes = held.manifest.expression.genes
    lacking = replace(others, expression=others.expression.drop(columns=genes[: len(genes) // 4]))
    with pytest.raises(InputError, match=r"genes used by the models are missing .*missing_genes_limit \(20%\)"):
        lacking.apply(bundle, tmp_path)
    assert (tmp_path / "drift.parquet").exists(), "how far it lies is told all the same"
    lacking.apply(bundle, tmp_path, settings=Apply(missing_genes_limit=0.5))
    ids = ["patient", *(f"ENSG{i:011d}" for i in range(others.expression.shape[1] - 1))]
    named = replace(others, expression=others.expression.set_axis(ids, axis=1))
    with pytest.raises(
        InputError, match=r"the RNA table has Ensembl gene ids \(such as ENSG0.*, the bundle gene symbols"
    ):
        named.apply(bundle, tmp_path / "ids")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder": "uni"}, "encoder of slide 'P041-1' is uni, the models were fitted with resnet50"),
        ({"weights_sha256": "cd" * 32}, "weights cdcdcdcdcdcd, the models were fitted with abababababab"),
        ({"patch_size": 256}, "tile size in px of slide 'P041-1' is 256, the models were fitted with 224"),
        ({"target_mpp": 0.25}, "slide 'P041-1' has tiles at 0.25 µm per px, the models were fitted at 0.5"),
    ],
)
def test_other_features_are_refused(home, tmp_path, changes, words):
    _, others, bundle = home
    slides = others.slides.set_index("patient")
    copy = tmp_path / "P041.h5"
    copy.write_bytes(Path(slides.loc["P041", "features"]).read_bytes())
    state(copy, **changes)
    slides.loc["P041", "features"] = str(copy)
    with pytest.raises(InputError, match="the bundle is not compatible with this cohort") as caught:
        replace(others, slides=slides.reset_index()).apply(bundle, tmp_path)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_other_dimensions_and_units_are_refused_and_rounding_is_told(home, tmp_path):
    _, others, bundle = home
    with opened(bundle) as held:
        facts = pd.DataFrame(
            [("s", "resnet50", "ab" * 32, 32, 224, "bfloat16", "float32", 224, 0.51)],
            columns=["slide", "encoder", "weights_sha256", "dim", "input_px", "arithmetic", "precision", "tile_px", "target_mpp"],
        )  # fmt: skip
        checks = {c.what: c for c in compatibility.check_images(held.manifest, facts, tiles=Tiles().model_dump())}
        assert checks["dimension of features"].status == "refused" and checks["spacing of tiles"].status == "ok"
        assert checks["arithmetic"].status == "warn" and "tissue and grid" not in checks
        unknown = facts.assign(dim=64, weights_sha256="", tile_px=0, target_mpp=np.nan)
        checks = compatibility.check_images(held.manifest, unknown, tiles=Tiles(min_tissue=0.7).model_dump())
        assert {c.what for c in checks if c.status == "warn"} == {
            "weights", "tile size in px", "spacing of tiles", "arithmetic", "tissue and grid",
        }  # fmt: skip
    content, _ = others.compare(bundle, tmp_path, unit="tpm")
    with pytest.raises(InputError, match="the RNA is given as tpm, but the models were fitted on counts"):
        compatibility.refuse(content, where="x")


def test_unknown_labels_are_told_and_not_scored(home, tmp_path):
    _, others, bundle = home
    labels = others.patients["label"].where(others.patients.index > 4, "Normal")
    content, _ = replace(others, patients=others.patients.assign(label=labels)).compare(bundle, tmp_path)
    check = {check["what"]: check for check in content["checks"]}["labels"]
    assert check["status"] == "warn" and "5 of 20 labels are none of neg, pos (such as 'Normal')" in check["says"]


def test_a_cohort_that_lost_everybody_is_refused(home, tmp_path):
    _, others, bundle = home
    nobody = others.without("image", list(others.patients["patient"])).without(
        "expression", list(others.patients["patient"])
    )
    with pytest.raises(InputError, match="but no patient has any"):
        nobody.apply(bundle, tmp_path)
