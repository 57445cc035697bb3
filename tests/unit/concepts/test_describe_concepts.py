"""All tables of a cohort, from its files."""

import h5py
import numpy as np
import pytest
from concept_data import activations_of, images_table, sparse_matrix

from histoweave.concepts.describe_concepts import concepts_stage
from histoweave.errors import InputError
from histoweave.settings.concepts import Concepts
from histoweave.storage.files import read_table, write_table

SHA = "ab" * 32
N, LATENTS = 60, 12
TABLES = ["concepts", "top_images", "associations", "patients", "classes"]


def write_shard(path, cells, dim=4):
    with h5py.File(path, "w") as file:
        file.create_dataset("cell", data=cells, dtype=h5py.string_dtype())
        file["features"] = np.random.default_rng(len(cells)).normal(size=(len(cells), dim)).astype(np.float32)


@pytest.fixture
def cohort(tmp_path):
    """The stage's arguments; the images table also has a refused cell, and another order."""
    rng = np.random.default_rng(0)
    matrix = sparse_matrix(N, LATENTS).tolil()
    matrix[:, 3] = 0
    activations = activations_of(matrix.tocsr(), sae_sha256=SHA)
    activations.save(tmp_path / "activations.h5")
    images = images_table(
        N + 1,
        patients=[f"p{row % 6}" for row in range(N + 1)],
        label=rng.choice(["a", "b", None], N + 1),
        patient_label=["xy"[row % 2] for row in range(N + 1)],
        granules=rng.choice(["yes", "no"], N + 1),
    )
    write_table(tmp_path / "images.parquet", images.sample(frac=1, random_state=0))
    write_shard(tmp_path / "0.h5", activations.images[:25])
    write_shard(tmp_path / "1.h5", [*reversed(activations.images[25:]), "elsewhere"])
    return {
        "activations": tmp_path / "activations.h5",
        "images": tmp_path / "images.parquet",
        "shards": [tmp_path / "0.h5", tmp_path / "1.h5"],
        "folder": tmp_path / "out",
        "settings": Concepts(top_images=5),
        "attributes": ["granules"],
    }


def test_writes_all_tables_and_the_same_bytes_again(cohort, tmp_path):
    concepts_stage(**cohort)
    tables = {name: read_table(tmp_path / "out" / f"{name}.parquet") for name in TABLES}
    concepts = tables["concepts"]
    assert concepts["concept"].tolist() == list(range(LATENTS))
    assert concepts["dead"].tolist() == [latent == 3 for latent in range(LATENTS)]
    assert concepts["monosemanticity"].notna().tolist() == [latent != 3 for latent in range(LATENTS)]
    assert (concepts[["name", "verdict", "comment"]] == "").all(axis=None)
    assert set(tables["associations"]["target"]) == {"label", "patient_label", "granules"}
    assert (tables["associations"].groupby(["concept", "target"]).size() >= 1).all()
    assert tables["patients"].columns.tolist() == ["patient", "concept", "mean", "n_images"]
    assert set(tables["patients"]["n_images"]) == {10}
    assert (tables["patients"]["mean"] > 0).all()
    assert tables["classes"].groupby("target")["class"].unique().map(list).to_dict() == {
        "label": ["a", "b"],
        "patient_label": ["x", "y"],
    }
    before = {name: (tmp_path / "out" / f"{name}.parquet").read_bytes() for name in TABLES}
    concepts_stage(**cohort)
    assert before == {name: (tmp_path / "out" / f"{name}.parquet").read_bytes() for name in TABLES}


def test_features_follow_the_cell_not_the_shard(cohort, tmp_path):
    concepts_stage(**cohort)
    one = read_table(tmp_path / "out" / "concepts.parquet")["monosemanticity"]
    concepts_stage(**cohort | {"shards": cohort["shards"][::-1]})
    np.testing.assert_array_equal(one, read_table(tmp_path / "out" / "concepts.parquet")["monosemanticity"])


def test_without_shards_there_is_no_monosemanticity(cohort, tmp_path):
    concepts_stage(**cohort | {"shards": []})
    assert read_table(tmp_path / "out" / "concepts.parquet")["monosemanticity"].isna().all()


def test_names_and_verdicts_come_from_the_review(cohort, tmp_path):
    review = tmp_path / "review.csv"
    review.write_text(
        f"concept,name,verdict,comment,sae_sha256\n2,Auer rods,accepted,long ones,{SHA}\n5,,rejected,,{SHA}\n"
    )
    concepts_stage(**cohort | {"settings": Concepts(top_images=5, review=str(review))})
    table = read_table(tmp_path / "out" / "concepts.parquet").set_index("concept")
    assert table["name"][2] == "Auer rods" and (table["name"].drop(2) == "").all()
    assert table["verdict"][[2, 5]].tolist() == ["accepted", "rejected"]
    assert table["comment"][[2, 5]].tolist() == ["long ones", ""]
    review.write_text(f"concept,name,verdict,comment,sae_sha256\n{LATENTS},x,,,{SHA}\n")
    with pytest.raises(InputError, match=f"there is no concept {LATENTS}"):
        concepts_stage(**cohort | {"settings": Concepts(review=str(review))})


def test_bad_input_is_named(cohort, tmp_path):
    with pytest.raises(InputError, match="has no attribute 'colour'"):
        concepts_stage(**cohort | {"attributes": ["colour"]})
    with pytest.raises(InputError, match="no shard has an embedding of image 'i00000'"):
        concepts_stage(**cohort | {"shards": cohort["shards"][1:]})
    write_shard(tmp_path / "2.h5", ["i00001"], dim=5)
    with pytest.raises(InputError, match=r"2\.h5: embeddings have 5 values, others 4"):
        concepts_stage(**cohort | {"shards": [*cohort["shards"], tmp_path / "2.h5"]})
    assert not (tmp_path / "out").exists()


def test_a_cohort_without_labels(cohort, tmp_path):
    write_table(tmp_path / "images.parquet", images_table(N))
    concepts_stage(**cohort | {"attributes": []})
    assert not len(read_table(tmp_path / "out" / "associations.parquet"))
    assert not len(read_table(tmp_path / "out" / "classes.parquet"))
    assert len(read_table(tmp_path / "out" / "patients.parquet"))


def test_a_cohort_of_which_every_cell_was_refused(cohort, tmp_path):
    activations_of(np.zeros((0, LATENTS)), sae_sha256=SHA).save(tmp_path / "activations.h5")
    concepts_stage(**cohort)
    assert read_table(tmp_path / "out" / "concepts.parquet")["dead"].all()
    assert not len(read_table(tmp_path / "out" / "top_images.parquet"))
    assert not len(read_table(tmp_path / "out" / "patients.parquet"))
