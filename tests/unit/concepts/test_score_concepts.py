"""What the rules call: files in, tables out; the same bytes again; clear refusals."""

import dataclasses

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from score_data import CPU, LATENTS, cohort_of, dictionary, encode, few_penalties, images_table, write_shard  # noqa: F401

from histoweave.concepts import score_concepts as score_stage
from histoweave.concepts.cohort_data import read_images
from histoweave.concepts.concept_folds import write_folds
from histoweave.concepts.sae_stability import stability, stability_stage
from histoweave.concepts.transfer_concepts import shift_stage, transfer_stage
from histoweave.errors import InputError
from histoweave.sae.format import save
from histoweave.settings.concepts import Concepts
from histoweave.settings.evaluation import Evaluation
from histoweave.settings.folds import Folds
from histoweave.storage.files import read_table, write_table

FOLDS = Folds(n_folds=2)
COMMON = {
    "settings": Concepts(),
    "fold_settings": FOLDS,
    "evaluation": Evaluation(bootstrap=1000),
    "seed": 1,
    "device": CPU,
}
SCORED = ("predictions", "metrics", "comparisons", "probes", "levels", "classes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A training and an external cohort as earlier rules leave them; one cell of the first was refused."""
    folder = tmp_path_factory.mktemp("run")
    save(dictionary(), folder / "sae")
    for name, stain in (("train", 0.0), ("external", 0.5)):
        images = images_table(80, patients=20, prefix=name[0], seed=len(name))
        write_shard(folder / f"{name}.h5", images, stain=stain)
        encode(cohort_of(folder / f"{name}.h5", images)).save(folder / f"{name}_activations.h5")
        refused = images.iloc[[0]].assign(image="lost", patient="nobody", status="missing_file", reason="no such file")
        write_table(folder / f"{name}.parquet", pd.concat([images.iloc[::-1], refused], ignore_index=True))
    write_folds(folder / "train.parquet", folder / "folds.parquet", settings=FOLDS, seed=1)
    return folder


def read(folder, name):
    return read_images(folder / f"{name}.parquet", [str(folder / f"{name}.h5")])


def run_scores(folder, out, n_dictionaries, **more):
    out = {name: out / f"{name}.parquet" for name in SCORED}
    dictionaries = [(folder / "sae", folder / "train_activations.h5")] * n_dictionaries
    score_stage.score_stage(
        read(folder, "train"), folds=folder / "folds.parquet", dictionaries=dictionaries,
        targets=["granularity"], out=out, **COMMON, **more,
    )  # fmt: skip
    return out


@pytest.fixture(scope="module")
def scored(folder, tmp_path_factory):
    return run_scores(folder, tmp_path_factory.mktemp("scored"), 1)


def test_images_come_in_the_order_of_their_tokens(folder):
    cohort = read(folder, "train")
    assert cohort.images["image"].tolist() == cohort.tokens.images and len(cohort.images) == 80
    with h5py.File(folder / "train.h5") as file:
        np.testing.assert_array_equal(cohort.features, file["features"][:])


@pytest.mark.parametrize("n_dictionaries, said", [(1, "global"), (2, "fold")])
def test_tables_of_a_cohort(folder, tmp_path, n_dictionaries, said):
    out = run_scores(folder, tmp_path, n_dictionaries)
    for path in out.values():
        assert (read_table(path)["dictionary"] == said).all()
    metrics = read_table(out["metrics"])
    assert set(metrics["level"]) == {"image", "patient"} and metrics["representation"].nunique() == 7
    assert read_table(out["levels"])["status"].tolist() == ["scored", "scored"]
    assert len(read_table(out["predictions"])) == 7 * (80 + 20)
    assert set(read_table(out["probes"])["value"]) == {"yes", "no"}


def test_the_same_again_is_the_same_bytes(folder, scored, tmp_path):
    again = run_scores(folder, tmp_path, 1)
    assert all(again[name].read_bytes() == scored[name].read_bytes() for name in SCORED)


def test_rejected_concepts_are_left_out_of_a_global_dictionary_only(folder, scored, tmp_path):
    out = run_scores(folder, tmp_path, 1, rejected=[3, 11])
    one, other = (read_table(paths["predictions"]).set_index("representation") for paths in (scored, out))
    assert one.loc["raw"].equals(other.loc["raw"]) and not one.loc["concepts"].equals(other.loc["concepts"])
    with pytest.raises(InputError, match=r"sae\.scoring to global"):
        run_scores(folder, tmp_path, 2, rejected=[3])


def test_transfer_shift_and_stability(folder, tmp_path):
    names = ("predictions", "metrics", "comparisons", "classes")
    out = {name: tmp_path / f"{name}.parquet" for name in (*names, "shift", "shift_concepts", "stability", "concepts")}
    activations = {f"{name}_activations": folder / f"{name}_activations.h5" for name in ("train", "external")}
    transfer_stage(
        read(folder, "train"), read(folder, "external"), dictionary=folder / "sae", **activations, **COMMON, out=out
    )
    assert set(read_table(out["metrics"])["level"]) == {"image", "patient"}
    shift_stage(
        train_images=folder / "train.parquet", external_images=folder / "external.parquet", **activations,
        settings=COMMON["settings"], evaluation=COMMON["evaluation"], seed=1, out=out,
    )  # fmt: skip
    assert len(read_table(out["shift_concepts"])) == LATENTS
    assert read_table(out["shift"]).set_index("measure").loc["jaccard", "external"] > 0.8
    stability_stage([folder / "sae"] * 2, seed=0, out=out)
    assert read_table(out["stability"])["mean"].tolist() == pytest.approx([1.0], abs=1e-5)


def test_stability_follows_the_latents_of_the_first():
    first = dictionary()
    order = torch.from_numpy(np.random.default_rng(0).permutation(LATENTS))
    shuffled = dataclasses.replace(first, w_dec=first.w_dec[order])
    other = dataclasses.replace(shuffled, w_dec=shuffled.w_dec.clone())
    other.w_dec[5] = 0
    pairs, concepts = stability([first, shuffled, other], seed=0)
    assert len(pairs) == 3 and pairs.loc[0, "mean"] == pytest.approx(1, abs=1e-5) and (pairs["null"] < 0.7).all()
    lost = int(order[5])
    assert concepts["stability"].drop(lost).to_numpy() == pytest.approx(1, abs=1e-5)
    assert concepts.loc[lost, ["stability", "stability_lowest"]].tolist() == pytest.approx([0.5, 0], abs=1e-5)
    alone = stability([first], seed=0)
    assert alone[0].empty and alone[1]["stability"].isna().all() and len(alone[1]) == LATENTS


def test_missing_tokens_and_activations_are_named(folder, tmp_path):
    table = read_table(folder / "train.parquet")
    extra = table.iloc[[0]].assign(image="extra", status="ok")
    write_table(tmp_path / "images.parquet", pd.concat([table, extra], ignore_index=True))
    with pytest.raises(InputError, match="'extra' has status ok but no tokens"):
        read_images(tmp_path / "images.parquet", [str(folder / "train.h5")])
    with pytest.raises(InputError, match="was not encoded"):
        shift_stage(
            train_images=tmp_path / "images.parquet", external_images=folder / "external.parquet",
            train_activations=folder / "train_activations.h5", external_activations=folder / "external_activations.h5",
            settings=COMMON["settings"], evaluation=COMMON["evaluation"], seed=1, out={},
        )  # fmt: skip
    write_table(tmp_path / "none.parquet", table.assign(status="unreadable_cell"))
    with pytest.raises(InputError, match="no image has status ok"):
        read_images(tmp_path / "none.parquet", [str(folder / "train.h5")])
