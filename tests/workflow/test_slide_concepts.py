"""Concepts of tiles in another hospital: with labels, without, and with features of another encoder."""

import contextlib
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from running import planned, snakemake

from histoweave.cells.images import write_images
from histoweave.concepts.cohort_data import read_images
from histoweave.concepts.encode_concepts import check_encoders, encode_stage
from histoweave.concepts.transfer_concepts import shift_stage, transfer_stage
from histoweave.errors import InputError
from histoweave.settings.cohorts import Simulate
from histoweave.settings.concepts import Concepts
from histoweave.settings.evaluation import Evaluation
from histoweave.settings.folds import Folds
from histoweave.simulate.slide import write_slide
from histoweave.storage.files import read_table

COHORTS = {"home": {"a": 4, "b": 4}, "away": {"a": 3, "b": 3}}  # patients per class
SITE = {"home": "ZA", "away": "north"}
CONFIG = ("--configfile", "config.yaml")


def write_cohort(folder, name, counts):
    """Slides and tables of a cohort; class b has the planted tissue. Returns its part of the configuration."""
    (folder / "slides").mkdir(exist_ok=True)
    labels = [label for label, n in counts.items() for _ in range(n)]
    patients = pd.DataFrame({"patient": [f"{name}{i}" for i in range(len(labels))], "label": labels})
    slides = patients[["patient"]].assign(slide=patients["patient"] + "-s")
    slides["path"] = "slides/" + slides["slide"] + ".tiff"
    for slide, patient, path, label in zip(slides["slide"], slides["patient"], slides["path"], labels, strict=True):
        write_slide(
            folder / path, folder / "slides" / f"{slide}.parquet", slide=slide, patient=patient, site=SITE[name],
            image_factor=label == "b", settings=Simulate(field_um=450.0),
        )  # fmt: skip
    patients.to_csv(folder / f"{name}_patients.tsv", sep="\t", index=False)
    slides.to_csv(folder / f"{name}_slides.tsv", sep="\t", index=False)
    role = "train" if name == "home" else "external"
    return {"role": role, "patients": f"{name}_patients.tsv", "slides": f"{name}_slides.tsv"}


def write_config(folder, cohorts):
    config = {
        "cohorts": cohorts,
        "features": {"encoder": "efficientnet_lite0"},
        "folds": {"n_folds": 2},
        "fusion": {"models": ["majority", "image"]},
        "evaluation": {"bootstrap": 1000},
        "concepts": {"top_images": 3},
        "sae": {"source": "tiles", "expansion": 2, "k": 8, "epochs": 5, "batch_tokens": 128, "seeds": 1}
        | {"scoring": "global"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hospitals")
    write_config(folder, {name: write_cohort(folder, name, counts) for name, counts in COHORTS.items()})
    snakemake("concepts", "--cores", 2, *CONFIG, directory=folder)
    return folder


def index_of(folder, name):
    """The index of a cohort's only shard of features."""
    return str(next(folder.glob(f"results/{name}/features/*/shards/*.json")))


def test_every_hospital_goes_through_the_frozen_dictionary(run):
    on = run / "results/home/sae/tiles/on"
    assert {path.name for path in on.iterdir()} == set(COHORTS)
    assert not list((run / "results/away/sae/tiles").glob("seed*")), "nothing is fitted there"
    with h5py.File(on / "away/activations.h5") as there, h5py.File(on / "home/activations.h5") as here:
        assert there.attrs["sae_sha256"] == here.attrs["sae_sha256"] and len(there["image"]) == 6
    shift = read_table(on / "away/shift.parquet").set_index("measure")["external"]
    known = shift[["explained_variance", "l0", "alive_share", "jaccard", "spearman_firing_rate"]]
    assert np.isfinite(known).all() and 0 < known["jaccard"] <= 1
    auroc = read_table(on / "away/shift_concepts.parquet")["cohort_auroc"]
    assert auroc.between(0, 1).all() and auroc.nunique() > 1


def test_labels_of_patients_are_those_of_their_slides(run):
    on = run / "results/home/sae/tiles/on"
    images = read_table(run / "results/away/sae/tiles/images.parquet")
    assert images["label"].isna().all() and set(images["patient_label"]) == {"a", "b"}
    concepts = read_table(on / "away/shift_concepts.parquet")
    assert concepts["cohort_auroc_within_label"].notna().all()
    assert set(concepts["top_label_external"].dropna()) == {"a", "b"}
    shift = read_table(on / "away/shift.parquet").set_index("measure")
    assert shift.loc["pure_concepts", "train"] > 0 and np.isfinite(shift.loc["pure_label_kept", "external"])
    classes = read_table(on / "away/transfer_classes.parquet")
    assert classes.loc[classes["level"] == "patient", "scored"].all() and set(classes["level"]) == {"patient"}
    scores = read_table(on / "away/transfer.parquet")
    assert {"concepts", "raw", "pca", "random"} <= set(scores["representation"]) and scores["estimate"].notna().any()


def test_without_labels_the_rest_is_there(run, tmp_path):
    """The same hospital without a label column, through the stages of `transfer_concepts`."""
    home, on = run / "results/home/sae/tiles", run / "results/home/sae/tiles/on"
    images = read_table(run / "results/away/sae/tiles/images.parquet")
    write_images(tmp_path / "images.parquet", images.assign(patient_label=None))
    both = {"train_activations": on / "home/activations.h5", "external_activations": on / "away/activations.h5"}
    rest = {"settings": Concepts(top_images=3), "evaluation": Evaluation(bootstrap=1000), "seed": 1}
    names = ("predictions", "metrics", "comparisons", "classes", "shift", "shift_concepts")
    out = {name: tmp_path / f"{name}.parquet" for name in names}
    shift_stage(
        train_images=home / "images.parquet", external_images=tmp_path / "images.parquet", **both, **rest, out=out
    )
    with contextlib.chdir(run):
        cohorts = [read_images(table, [index_of(Path(), name)])
                   for table, name in ((home / "images.parquet", "home"), (tmp_path / "images.parquet", "away"))]  # fmt: skip
        transfer_stage(*cohorts, dictionary=home / "seed0", **both, **rest, fold_settings=Folds(n_folds=2),
                       device=torch.device("cpu"), out={name: out[name] for name in names[:4]})  # fmt: skip
    tables = {name: read_table(path) for name, path in out.items()}
    assert tables["metrics"].empty and tables["predictions"]["y_true"].isna().all()
    assert set(tables["predictions"]["patient"]) == {f"away{i}" for i in range(6)}
    assert set(tables["classes"]["reason"]) == {"not in the external cohort"}
    assert tables["shift_concepts"]["cohort_auroc_within_label"].isna().all()
    labelled = read_table(on / "away/shift_concepts.parquet")
    pd.testing.assert_series_equal(tables["shift_concepts"]["cohort_auroc"], labelled["cohort_auroc"])


def test_the_page_shows_all_hospitals(run):
    page = (run / "results/home/concepts.html").read_text()
    assert not list(run.glob("results/away/concepts.html")), "a page is the dictionary's"
    assert "Shift measures of away" in page and "Transferred scores of away" in page
    shown = read_table(run / "results/home/sae/tiles/on/away/top_images.parquet")["image"]
    assert any(slide in page for slide in shown.unique())
    again = snakemake("concepts", "--cores", 1, "-n", *CONFIG, directory=run)
    assert planned(again) == {}
    whole = planned(snakemake("--cores", 1, "-n", *CONFIG, directory=run))
    assert whole["applied_report"] == 1 and not whole.keys() & {
        "transfer_concepts",
        "encode_concepts",
        "concept_report",
    }


def test_features_of_another_encoder_are_refused(run, tmp_path):
    folder = Path(index_of(run, "away")).parents[1]
    shutil.copytree(folder, tmp_path / "features")
    index = str(tmp_path / "features/shards" / Path(index_of(run, "away")).name)
    check_encoders([index], [index_of(run, "home")])
    with h5py.File(tmp_path / "features/away2-s.h5", "a") as file:
        file["features"].attrs["encoder"] = "another_network"
    given = {"sae": run / "results/home/sae/tiles/seed0", "token_threshold": 0.2, "device": torch.device("cpu")}
    with pytest.raises(InputError, match=r"slide 'away2-s' come from encoder 'another_network'.* was fitted on 'effi"):
        encode_stage(tokens=[index], fitted_on=[index_of(run, "home")], out=tmp_path / "a.h5", **given)
    assert not (tmp_path / "a.h5").exists()
