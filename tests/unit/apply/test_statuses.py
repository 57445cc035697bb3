"""Predictions from values that training never showed are withheld, or given and marked where somebody insists."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from apply_data import EVALUATION, MODELS, N_FOLDS, made_home
from bundle_edits import members, sealed, with_table

from histoweave.apply import platform, statuses
from histoweave.apply.apply_bundle import apply
from histoweave.apply.compatibility import Check
from histoweave.apply.contents import check_contents
from histoweave.apply.read import opened
from histoweave.apply.reference import FEATURES
from histoweave.errors import InputError
from histoweave.fusion import catalog
from histoweave.fusion.fitted import load_fold
from histoweave.fusion.patients import PatientSet
from histoweave.settings.apply import Apply
from histoweave.storage.files import read_json, read_table

NOT_RNA = {name for name in MODELS if "expression" not in catalog.get(name).modalities}
READS_RNA = {name for name in MODELS if "expression" in catalog.get(name).modalities}
READS_IMAGES = {name for name in MODELS if "image" in catalog.get(name).modalities}
P = ["p_neg", "p_pos"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return made_home(tmp_path_factory)


def other_rna(others, chosen=None):
    """The cohort with RNA on another scale, of all patients or of some."""
    table = others.expression.copy()
    names = [column for column in table if column != "patient"]
    rows = table["patient"].isin(table["patient"] if chosen is None else chosen)
    table.loc[rows, names] = table.loc[rows, names] * 3 + 40
    return replace(others, expression=table)


def other_features(others, folder):
    """The cohort with tile features on another scale."""
    slides = others.slides.copy()
    for index, path in slides["features"].items():
        copy = folder / f"{index}.h5"
        copy.write_bytes(Path(path).read_bytes())
        with h5py.File(copy, "a") as file:
            file["features"][:] = file["features"][:] * 5 + 20
        slides.loc[index, "features"] = str(copy)
    return replace(others, slides=slides)


@pytest.fixture(scope="module")
def plain(home, tmp_path_factory):
    return home[1].apply(home[2], tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def withheld(home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("withheld")
    return other_rna(home[1]).apply(home[2], folder), folder


def test_models_that_read_it_abstain_and_others_predict_as_before(plain, withheld):
    found, folder = withheld
    table = found["predictions"]
    abstained = table["status"] == statuses.ABSTAINED
    assert set(table.loc[abstained, "model"]) == READS_RNA == set(table["model"]) - NOT_RNA
    assert abstained.eq(table["model"].isin(READS_RNA)).all(), "of everybody"
    lost = table[abstained]
    assert lost[[*P, "entropy", "disagreement"]].isna().all().all() and lost["n_models"].eq(0).all()
    assert lost["called"].isna().all() and lost["set"].isna().all()
    assert lost["reason"].nunique() == 1 and lost["reason"].iloc[0].startswith("RNA: the medians of ")
    kept = table[~abstained].reset_index(drop=True)
    before = plain["predictions"]
    before = before[~before["model"].isin(READS_RNA)].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before)
    assert set(found["members"]["model"]) == set(found["metrics"]["model"]) == NOT_RNA
    assert set(found["coverage"]["model"]) == NOT_RNA
    pooled = found["metrics"].query("scope == 'pooled'")
    assert pooled["n"].eq(20).all(), "the image is scored on everybody: no model is left that reads RNA"
    (check,) = [check for check in read_json(folder / "compatibility.json")["checks"] if check["status"] == "withheld"]
    assert check["what"] == "RNA within the training range" and "(20 of 20 patients)" in check["says"]


def test_nobody_of_the_same_kind_abstains(home, plain, tmp_path):
    assert plain["predictions"]["status"].eq("ok").all()
    _, others, bundle = home
    content, _ = others.compare(bundle, tmp_path)
    judged = read_table(tmp_path / "plausible.parquet")
    assert set(judged["modality"]) == {"expression", "image"} and len(judged) == 2 * len(others.patients)
    assert (judged["reason"] == "").all() and judged["share"].max() < 0.3
    assert [check["status"] for check in content["checks"] if "training range" in check["what"]] == ["ok", "ok"]


def test_insisting_gives_probabilities_without_temperature_and_without_sets(home, tmp_path):
    training, others, bundle = home
    odd = other_rna(others)
    found = odd.apply(bundle, tmp_path, settings=Apply(insist=True))
    table = found["predictions"].set_index(["model", "patient"])
    of_rna = table.index.get_level_values("model").isin(READS_RNA)
    assert table.loc[of_rna, "status"].eq(statuses.INSISTED).all() and table.loc[~of_rna, "status"].eq("ok").all()
    assert table.loc[of_rna, "set"].isna().all() and table.loc[of_rna, "reason"].str.startswith("RNA: ").all()
    everyone = PatientSet.of(odd.patients, slides=odd.slides, expression=odd.expression, classes=["neg", "pos"])
    values = []
    for k in range(N_FOLDS):
        fitted = load_fold(training.fold_folder("expression", k))
        values.append(fitted.predict(fitted.batcher(everyone), image_of=everyone.ids, expression_of=everyone.ids)[0])
    np.testing.assert_allclose(table.loc["expression", P], np.mean(values, axis=0), atol=1e-12)
    assert set(found["metrics"]["model"]) >= READS_RNA and not READS_RNA & set(found["coverage"]["model"])


def test_one_patient_abstains_alone_and_counts_as_one_without_rna(home, plain, tmp_path):
    _, others, bundle = home
    found = other_rna(others, ["P045"]).apply(bundle, tmp_path)
    table = found["predictions"].set_index(["model", "patient"])
    lost = table.index[table["status"] == statuses.ABSTAINED]
    assert set(lost) == {(model, "P045") for model in READS_RNA}
    assert "of the patient's genes" in table.loc[("expression", "P045"), "reason"]
    before = plain["predictions"].set_index(["model", "patient"])
    columns = [*P, "called", "set", "status"]
    pd.testing.assert_frame_equal(table.drop(lost)[columns], before.drop(lost)[columns])
    pooled = found["metrics"].query("scope == 'pooled'")
    assert pooled["n"].eq(19).all(), "models are compared on the same patients"
    assert set(found["metrics"].query("scope == 'incomplete'")["model"]) == NOT_RNA


def test_a_patient_who_lacks_the_modality_is_predicted_by_the_rest(home, tmp_path):
    _, others, bundle = home
    odd = other_rna(others.without("expression", ["P041", "P042"]))
    found = odd.apply(bundle, tmp_path)
    assert set(found["metrics"]["model"]) == NOT_RNA
    table = found["predictions"].set_index(["model", "patient"])["status"]
    assert table["late_mean", "P041"] == table["cross_attention", "P042"] == "ok"
    assert table["expression", "P041"] == "cannot" and table["late_mean", "P043"] == statuses.ABSTAINED


def test_features_of_another_scale_are_withheld_too(home, tmp_path):
    _, others, bundle = home
    table = other_features(others, tmp_path).apply(bundle, tmp_path)["predictions"]
    abstained = table["status"] == statuses.ABSTAINED
    assert abstained.eq(table["model"].isin(READS_IMAGES)).all()
    assert table.loc[abstained, "reason"].str.startswith("images: the medians of ").all()
    both = other_features(other_rna(others), tmp_path / ".." / tmp_path.name)
    table = both.apply(bundle, tmp_path / "both")["predictions"]
    reason = table.loc[table["model"] == "cross_attention", "reason"].iloc[0]
    assert reason.startswith("RNA: ") and "; images: " in reason


def test_a_bundle_without_ranges_of_features_is_read_and_says_so(home, tmp_path):
    """As bundles were before images were judged."""
    _, others, bundle = home
    content = {name: data for name, data in members(bundle).items() if name != FEATURES}
    old = sealed(tmp_path / "old.zip", content)
    odd = other_features(others, tmp_path)
    table = odd.apply(old, tmp_path / "applied")["predictions"]
    assert table["status"].eq("ok").all()
    checks = {check["what"]: check for check in read_json(tmp_path / "applied/compatibility.json")["checks"]}
    assert checks["images within the training range"]["status"] == "warn"
    assert set(read_table(tmp_path / "applied/plausible.parquet")["modality"]) == {"expression"}


def test_ranges_of_other_features_are_refused(home, tmp_path):
    content = with_table(members(home[2]), FEATURES, lambda table: table.iloc[1:])
    with (
        opened(sealed(tmp_path / "short.zip", content)) as held,
        pytest.raises(InputError, match=r"features.parquet: does not hold the ranges of features of 64 values"),
    ):
        check_contents(held)


def test_aligned_rna_is_judged_as_models_read_it(home, tmp_path):
    """The values as they came lie outside; moved to training they do not, and nobody is withheld."""
    _, others, bundle = home
    found = other_rna(others).apply(bundle, tmp_path, settings=Apply(align="quantile"))
    assert found["predictions"]["status"].eq("ok").all()
    judged = read_table(tmp_path / "plausible.parquet")
    assert set(judged["modality"]) == {"expression", "image"} and (judged["reason"] == "").all()


def test_rna_is_not_judged_for_models_of_ranks_nor_where_alignment_is_refused(home):
    _, others, bundle = home
    table, both = others.expression.set_index("patient"), {"expression", "image"}
    refused = [Check("alignment of RNA", "refused", "too few")]
    with opened(bundle) as held:
        assert platform.as_read(held, table, both, checks=refused, method="median")[1] == {"image"}
        ours = held.manifest.expression.model_copy(update={"transform": "ranks"})
        ranks = replace(held, manifest=held.manifest.model_copy(update={"expression": ours}))
        assert platform.as_read(ranks, table, both, checks=[], method="none")[1] == {"image"}
        same, judged = platform.as_read(held, table, both, checks=[], method="none")
        assert same is table and judged == both


def test_what_cannot_be_predicted_stays_so():
    predictions = pd.DataFrame(
        {"model": ["image", "expression"], "patient": "P", "p_a": 0.7, "p_b": 0.3, "called": "a", "entropy": 0.6,
         "disagreement": 0.1, "n_models": 2, "status": ["cannot", "ok"], "reason": ["no usable slide", ""]}
    )  # fmt: skip
    reasons = {("image", "P"): "images: far", ("expression", "P"): "RNA: far"}
    marked = statuses.mark(predictions, reasons, insist=False)
    assert marked["status"].tolist() == ["cannot", "abstained"]
    assert marked["reason"].tolist() == ["no usable slide", "RNA: far"]
    assert predictions["status"].tolist() == ["cannot", "ok"], "the given table is left as it was"
    assert statuses.mark(predictions, {}, insist=False).equals(predictions)


def test_the_second_stage_reads_what_the_first_wrote(home, tmp_path):
    """No patient that it does not name is withheld: the judgement is made once."""
    _, others, bundle = home
    odd = other_rna(others)
    odd.compare(bundle, tmp_path)
    judged = read_table(tmp_path / "plausible.parquet").assign(reason="")
    apply(
        bundle, patients=odd.patients, slides=odd.slides, expression=odd.expression, judged=judged,
        compatibility_json=tmp_path / "compatibility.json", settings=Apply(), evaluation=EVALUATION, seed=1,
        out={name: tmp_path / f"{name}.parquet" for name in ("predictions", "members", "metrics", "coverage")},
    )  # fmt: skip
    assert read_table(tmp_path / "predictions.parquet")["status"].eq("ok").all()
