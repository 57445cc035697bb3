"""Three laboratories' blood cells through the whole cell arm, with real weights: concepts of one, held against two."""

import h5py
import pytest
import torch
from blood_cells import write_cohort
from running import needs_shared_data, planned, snakemake

from histoweave.sae.screening import Quantised, has_8_bit_products, screen
from histoweave.storage.files import read_table

pytestmark = [needs_shared_data, pytest.mark.timeout(1800)]
CONFIG = ("--configfile", "config.yaml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("blood")
    write_cohort(folder)
    snakemake("concepts", "--cores", 2, *CONFIG, directory=folder)
    return folder


@pytest.fixture(scope="module")
def root(folder):
    return folder / "results/acevedo/sae/cells"


def score(table, representation, metric="balanced_accuracy"):
    rows = table[(table["metric"] == metric) & (table["scope"] == "pooled") & (table["level"] == "image")]
    return rows.set_index("representation").loc[representation]


def test_concepts_are_not_worse_than_the_raw_embedding(root):
    metrics = read_table(root / "scores/metrics.parquet")
    concepts = score(metrics, "concepts")["estimate"]
    for raw in ("raw", "embedding"):
        assert concepts >= score(metrics, raw)["estimate"] - 0.02, raw
    assert concepts >= 0.88


@pytest.mark.parametrize(("attribute", "value"), [("nuclear_cytoplasmic_ratio", "high"), ("granularity", "yes")])
def test_one_concept_tells_an_attribute(root, attribute, value):
    probes = read_table(root / "scores/probes.parquet")
    rows = probes[(probes["target"] == attribute) & (probes["value"] == value) & (probes["scope"] == "pooled")]
    assert rows.set_index("representation").loc["concepts", "auroc"] >= 0.85


@pytest.mark.parametrize(("laboratory", "classes"), [("tecom", 4), ("bccd", 4)])
def test_transfer_is_reported_with_intervals(root, laboratory, classes):
    transfer = read_table(root / f"on/{laboratory}/transfer.parquet")
    for representation in ("concepts", "raw", "embedding", "pca", "kmeans", "random"):
        row = score(transfer, representation)
        assert row["ci_low"] < row["estimate"] < row["ci_high"] and row["n_images"] > 200
    of_class = transfer[(transfer["representation"] == "concepts") & (transfer["metric"] == "auroc")]
    assert of_class["scope"].str.startswith("class:").sum() == classes
    shift = read_table(root / f"on/{laboratory}/shift.parquet").set_index("measure")
    assert shift.loc["explained_variance", "external"] < shift.loc["explained_variance", "train"]
    assert 0 < shift.loc["alive_share", "external"] <= 1


@pytest.mark.skipif(not has_8_bit_products(), reason="CPU without 8-bit products (VNNI)")
def test_8_bit_numbers_miss_no_pre_activation_of_real_cells(folder):
    """Latents that read along real tokens, which are more alike than random directions."""
    k = 16
    (path,) = folder.glob("results/acevedo/cells/*/0-of-1.h5")
    with h5py.File(path) as file:
        tokens = torch.from_numpy(file["tokens"][::40].astype("float32"))
    x = tokens - tokens.mean(dim=0)
    w_enc = torch.nn.functional.normalize(x[:4096], dim=1)
    b_enc = -0.1 * x.norm(dim=1).mean() * torch.ones(len(w_enc))
    values, _, unsure = screen(x, Quantised.of(w_enc), b_enc, k)
    sure = torch.ones(len(x), dtype=torch.bool).index_fill_(0, unsure, value=False)
    assert sure.double().mean() > 0.9
    exact = (x @ w_enc.T + b_enc).topk(k, dim=1).values
    torch.testing.assert_close(values.sort(dim=1, descending=True).values[sure], exact[sure], rtol=1e-4, atol=1e-4)


def test_pictures_that_are_there_twice_stay_together(root):
    images = read_table(root / "images.parquet")
    twins = images[images.duplicated("content", keep=False)]
    assert len(twins) == 6
    folds = read_table(root / "folds.parquet").query("role == 'test'").set_index("patient")["fold"]
    assert twins.groupby("content")["patient"].apply(lambda patients: folds[patients].nunique()).eq(1).all()


def test_nothing_is_left_to_do(folder):
    assert planned(snakemake("-n", "concepts", *CONFIG, directory=folder)) == {}
