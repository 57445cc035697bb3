"""The published statistics of CytoSAE's 49,152 latents on three data sets, through our own code.

What is published of a latent is its ten largest image activations with image and label (for Hehr the label is the
patient), not its activations in all images. So the label entropy, the purity of the top ten and which latents are dead can
be computed in full; patient vectors only from the images that are in a top ten, with 0 where an activation is not listed:
lower bounds of the true sums.
"""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from concept_data import activations_of
from running import SHARED, needs_shared_data

from histoweave.concepts.statistics import NO_LABEL, concept_table, label_entropy, n_distinct, top_images
from histoweave.concepts.vectors import class_contrast, class_vectors, from_top_values, patient_vectors
from histoweave.settings.concepts import Concepts

pytestmark = needs_shared_data
FOLDER = SHARED / "cytosae-reference"
LATENTS, K = 49_152, 10
EXCLUSIVE = {"SCD": 316, "AML-NPM1": 35, "AML-RUNX1-RUNX1T1": 29, "AML-CBFB-MYH11": 27, "AML-PML-RARA": 16}


def published(name):
    """The arrays of one data set, labels and rows as int64."""
    with np.load(FOLDER / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    return SimpleNamespace(**arrays | {key: arrays[key].astype(np.int64) for key in ("top_label", "top_row")})


def as_cohort(table, labels):
    """Activations of the images that are in a top ten, and an images table with `labels` (label code → name)."""
    known, matrix = from_top_values(table.top_value, table.top_row)
    label = np.full(known.max() + 1, NO_LABEL)
    shown = table.top_value > 0
    label[table.top_row[shown]] = table.top_label[shown]
    ids = [f"{image:06d}" for image in known]
    names = [labels[code] for code in label[known]]
    return activations_of(matrix.astype(np.float32), ids), pd.DataFrame({"image": ids, "name": names})


@pytest.mark.parametrize("name, never, pure, median", [("acevedo", 203, 2401, 0.00386), ("mll23", 0, 1277, 0.00240)])
def test_entropy_of_every_latent(name, never, pure, median):
    table = published(name)
    entropy = label_entropy(table.top_value, table.top_label, at_least=K)
    np.testing.assert_allclose(entropy, table.top_entropy, rtol=0, atol=1e-5)  # NaN only where the published one is
    assert np.isnan(entropy).sum() == never == (table.frequency == 0).sum()
    assert (np.abs(entropy) < 1e-6).sum() == pure
    assert round(float(np.median(table.frequency)), 5) == median


def test_a_cohort_rebuilt_from_the_acevedo_table():
    table = published("acevedo")
    classes = json.loads((FOLDER / "classnames.json").read_text())["acevedo"]
    activations, images = as_cohort(table, classes)
    images = images.assign(patient=images["image"], label=images["name"], patient_label=None)
    top = top_images(activations, K)
    firing = (table.top_value > 0).sum(axis=1)
    np.testing.assert_array_equal(np.bincount(top["concept"], minlength=LATENTS), firing)
    place = top["concept"].to_numpy(), top["rank"].to_numpy() - 1
    np.testing.assert_array_equal(top["activation"], table.top_value[place])
    found = concept_table(activations, images, settings=Concepts(), top=top)
    few = (firing > 0) & (firing < K)
    assert found["dead"].sum() == 203
    assert found["mean_activation"].isna().sum() == 203
    np.testing.assert_array_equal(np.isnan(found["label_entropy"]), firing == 0)
    assert (
        found.loc[few, "label_entropy"] == -1
    ).all()  # the published lists are filled up with images of activation 0
    np.testing.assert_allclose(found["label_entropy"][firing == K], table.top_entropy[firing == K], rtol=0, atol=1e-5)
    pure = (firing == K) & (np.abs(table.top_entropy) < 1e-6)
    assert (found.loc[pure, "top_label_share"] == 1).all()
    assert found.loc[pure, "top_label"].tolist() == [classes[code] for code in table.top_label[pure, 0]]


def test_hubs():
    table = published("acevedo")
    full = (table.top_value > 0).all(axis=1)
    known, matrix = from_top_values(table.top_value[full], table.top_row[full])
    lists = np.bincount(known, weights=np.diff(matrix.indptr), minlength=17_092)
    assert (lists.max(), np.median(lists)) == (4785, 8)


@pytest.fixture(scope="module")
def hehr():
    """Published table, patients (in the order of their label code) and the cohort of the images that are in it."""
    table, patients = published("hehr"), pd.read_csv(FOLDER / "hehr_patients.csv")
    assert patients["label"].tolist() == list(range(len(patients)))
    activations, images = as_cohort(table, patients["patient"].tolist())
    group = patients.set_index("patient")["group"]
    images = images.rename(columns={"name": "patient"}).assign(label=None)
    return table, patients, activations, images.assign(patient_label=images["patient"].map(group))


def test_latents_whose_ten_images_come_from_one_group_or_one_patient(hehr):
    table, patients, *_ = hehr
    codes, names = pd.factorize(patients["group"], sort=True)
    groups = codes[table.top_label]
    one_group = (n_distinct(groups) == 1) & (groups >= 0).all(axis=1)
    assert pd.Series(names[groups[one_group, 0]]).value_counts().to_dict() == EXCLUSIVE
    assert (n_distinct(table.top_label) == 1).sum() == 51


def test_the_table_of_concepts_counts_the_same(hehr):
    table, patients, activations, images = hehr
    found = concept_table(activations, images, settings=Concepts())
    full = (table.top_value > 0).all(axis=1)
    assert ((found["n_top_patients"] == 1) & full).sum() == 51
    pure = found[(found["label_entropy"].abs() < 1e-6) & full]
    assert pure["top_label"].value_counts().to_dict() == EXCLUSIVE
    assert found["top_label"].isin(patients["group"].dropna()).sum() > 49_000


def test_patient_vectors_are_means_over_the_patients_listed_images(hehr):
    *_, patients, activations, images = hehr
    names, vectors = patient_vectors(activations.mean, images)
    assert len(names) == len(patients) == 189
    assert len(images) == 54_700  # of 81,214: the others are in no top ten
    for row in (0, 94, 188):
        rows = np.flatnonzero(images["patient"] == names[row])
        expected = activations.mean[rows].toarray().astype(float).sum(axis=0) / len(rows)
        np.testing.assert_allclose(vectors[row].toarray()[0], expected, rtol=1e-12)
    # the released code divides every sum by the number of latents: patients with more cells get longer vectors
    n_images = images["patient"].value_counts().reindex(names).to_numpy()
    length = np.asarray(vectors.sum(axis=1)).ravel()
    assert np.corrcoef(length * n_images / LATENTS, n_images)[0, 1] > 0.3 > np.corrcoef(length, n_images)[0, 1]


def test_disease_contrasts_find_the_latents_of_the_disease(hehr):
    table, patients, activations, images = hehr
    names, vectors, n = class_vectors(activations.mean, images, column="patient_label")
    assert dict(zip(names, n.tolist(), strict=True)) == patients["group"].value_counts().to_dict()
    group_of = patients["group"].to_numpy()[table.top_label]
    for disease in sorted(set(EXCLUSIVE) - {"SCD"}):
        found = class_contrast(names, vectors, disease, "SCD")
        assert found["towards"].value_counts().to_dict() == {disease: 50, "SCD": 50}
        assert (found["difference"] > 0).tolist() == (found["towards"] == disease).tolist()
        share = {side: (group_of[rows] == side).mean() for side, rows in found.groupby("towards")["concept"]}
        assert share[disease] > 2 * (group_of == disease).mean()
        assert share["SCD"] > (group_of == "SCD").mean()
