"""The bundle: its bytes, what is not in it, and what is refused."""

import dataclasses
import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from apply_data import MODELS, made_bundle, made_home, state
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from histoweave.apply.manifest import parse
from histoweave.apply.measures import DISTANCE, RESIDUAL, image_measures
from histoweave.apply.read import opened, read_manifest
from histoweave.apply.training_reference import held_out_measures, principal_components
from histoweave.errors import InputError
from histoweave.storage.files import sha256_of


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    return made_home(tmp_path_factory)[0]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return made_home(tmp_path_factory)[2]


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def unpacked(folder, bundle):
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    return folder


def test_equal_inputs_give_equal_bytes(training, bundle, tmp_path):
    assert made_bundle(tmp_path, training).read_bytes() == bundle.read_bytes()
    with zipfile.ZipFile(bundle) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert {(entry.compress_type, entry.date_time) for entry in entries} == {
        (zipfile.ZIP_STORED, (1980, 1, 1, 0, 0, 0))
    }


def test_it_holds_no_patient_and_no_pickle(training, bundle):
    ids = set(training.patients["patient"]) | set(training.slides["slide"])
    assert {"P000", "P000-1"} <= ids
    for name, data in members(bundle).items():
        assert name.rsplit(".", 1)[-1] in ("safetensors", "json", "parquet", "md"), name
        text = data.decode("latin-1")
        if name.endswith(".parquet"):
            table = pq.read_table(io.BytesIO(data)).to_pandas()
            assert not {"patient", "slide", "site"} & set(table.columns), name
            text = table.to_csv()
        assert not any(re.search(rf"\b{re.escape(one)}\b", text) for one in ids), name


def test_the_manifest_says_what_the_models_expect(training, bundle):
    manifest = read_manifest(bundle)
    assert manifest.classes == ["neg", "pos"] and manifest.positive == "pos" and manifest.cohort == "home"
    assert [model.name for model in manifest.models] == MODELS and manifest.models[0].folds == [0, 1]
    assert (manifest.encoder.name, manifest.encoder.dim, manifest.tiles.target_mpp) == ("resnet50", 64, 0.5)
    genes = pd.read_parquet(training.fold_folder("expression", 0) / "transforms.parquet")
    kept = set(genes.loc[genes["kept"] & (genes["modality"] == "expression"), "feature"])
    assert kept <= set(manifest.expression.genes) <= set(training.expression.columns)
    content = members(bundle)
    assert set(manifest.files) == set(content) - {"bundle.json"}


def test_the_card_names_figures_licence_and_use(training, bundle):
    n_positive = (training.patients["label"] == "pos").sum()
    card = members(bundle)["MODEL_CARD.md"].decode()
    for words in (
        "0.800 [0.700, 0.900]",
        "Not for: diagnosis",
        "Licence of the weights: ",
        f"| pos | {n_positive} |",
        "40 patients",
    ):
        assert words in card, words
    assert "\n\n\n" not in card


@pytest.mark.parametrize("form", ["zip", "folder"])
@pytest.mark.parametrize(
    "kind", ["model.safetensors", "transforms.parquet", "config.json", "summary.parquet", "CARD.md"]
)
def test_a_changed_member_is_refused_by_name(bundle, tmp_path, form, kind):
    content = members(bundle)
    name = next(name for name in content if name.endswith(kind))
    data = bytearray(content[name])
    data[len(data) // 2] ^= 1
    if form == "zip":
        path = packed(tmp_path / "b.zip", content | {name: bytes(data)})
    else:
        path = unpacked(tmp_path / "b", bundle)
        (path / name).write_bytes(bytes(data))
    with pytest.raises(InputError, match=re.escape(f"member '{name}' has other bytes")), opened(path):
        pass


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_of_the_file_changes_what_is_read(bundle, tmp_path, place, bit):
    data = bytearray(bundle.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    path = tmp_path / "flipped.zip"
    path.write_bytes(data)
    try:
        with opened(path) as held:
            assert held.manifest == read_manifest(bundle)
            assert all(sha256_of(held.path(name)) == sha256 for name, sha256 in held.manifest.files.items())
    except InputError as error:
        assert "\n" not in str(error)


def test_a_missing_member_and_another_file_are_refused(bundle, tmp_path):
    content = members(bundle)
    lost = {name: data for name, data in content.items() if name != "models/image/fold1/model.safetensors"}
    with pytest.raises(InputError, match=r"'models/image/fold1/model.safetensors' is missing"):
        opened(packed(tmp_path / "lost.zip", lost)).__enter__()
    with pytest.raises(InputError, match=r"member 'bundle.json' is missing"):
        read_manifest(packed(tmp_path / "other.zip", {"a.txt": b"1"}))
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(InputError, match="cannot be opened as a zip"):
        read_manifest(tmp_path / "text.zip")
    with pytest.raises(InputError, match="is not there"):
        read_manifest(tmp_path / "gone.zip")


def test_a_manifest_that_was_edited_or_points_elsewhere_is_refused(bundle):
    raw = json.loads(members(bundle)["bundle.json"])
    with pytest.raises(InputError, match="was changed after"):
        parse(json.dumps(raw | {"classes": ["pos", "neg"]}).encode(), where="b")
    with pytest.raises(InputError, match="format 2 is not supported"):
        parse(json.dumps(raw | {"format": 2}).encode(), where="b")
    with pytest.raises(InputError, match="not the manifest"):
        parse(b"[1]", where="b")
    manifest = read_manifest(bundle)
    for name in ("../x", "/etc/x", "a/../x", "a//b", "a\\b", ".."):
        bad = manifest.model_copy(update={"files": {name: "0" * 64}})
        with pytest.raises(InputError, match="cannot be a member"):
            parse(bad.text().encode(), where="b")


def test_a_folder_is_a_bundle_too(bundle, tmp_path):
    folder = unpacked(tmp_path / "b", bundle)
    with opened(folder) as one, opened(folder / "bundle.json") as other, opened(bundle) as zipped:
        assert one.manifest == other.manifest == zipped.manifest and one.folder == folder


def test_calibration_of_some_folds_alone_is_refused_and_of_some_models_is_not(training, tmp_path):
    table = training.temperatures
    some = table[(table["model"] != "image") | (table["fold"] == 0)]
    with pytest.raises(InputError, match="temperatures of 'image' lack fold 1"):
        made_bundle(tmp_path, dataclasses.replace(training, temperatures=some))
    made_bundle(tmp_path, dataclasses.replace(training, temperatures=table[table["model"] != "image"]))


def test_a_fold_that_could_not_vote_makes_no_bundle(training, tmp_path):
    shutil.copytree(training.root, tmp_path / "fusion")
    path = tmp_path / "fusion/image/fold1/model.safetensors"
    tensors = load_file(path)
    tensors[min(tensors)].fill_(torch.nan)
    save_file(tensors, path)
    with pytest.raises(InputError, match=re.escape(f"{path}: '{min(tensors)}' holds NaN or infinity")):
        made_bundle(tmp_path, dataclasses.replace(training, root=tmp_path / "fusion"))
    assert not (tmp_path / "bundle.zip").exists()


def test_slides_of_two_encoders_make_no_bundle(training, tmp_path):
    slides = training.slides.copy()
    copy = tmp_path / "copy.h5"
    copy.write_bytes(Path(slides["features"].iloc[3]).read_bytes())
    state(copy, encoder="uni")
    slides.loc[slides.index[3], "features"] = str(copy)
    with pytest.raises(InputError, match=r"not made alike: encoder is resnet50 .* and uni of slide 'P003-1'"):
        made_bundle(tmp_path, dataclasses.replace(training, slides=slides))


def test_the_reference_is_what_new_patients_of_the_same_kind_would_show():
    """To components that saw them, training patients lie too far along and too near across."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(40, 40))
    means, new = (pd.DataFrame(rng.normal(size=(n, 40)) @ mixing) for n in (60, 2000))
    embedding = principal_components(means.to_numpy())
    assert embedding.loadings.shape == (40, 6)
    np.testing.assert_allclose(embedding.loadings.T @ embedding.loadings, np.eye(6), atol=1e-9)
    own, held = image_measures(means, embedding), held_out_measures(means, embedding)
    np.testing.assert_allclose(own.filter(like="component ").var(), 1)
    shown = image_measures(new, embedding)
    for feature in (DISTANCE, RESIDUAL):
        expected = shown[feature].median()
        assert abs(held[feature].median() - expected) < 0.5 * abs(own[feature].median() - expected)
    # Pythagoras: what the components explain and what they do not make up the whole deviation.
    along = np.linalg.norm(embedding.scores(new.to_numpy()) * embedding.scale, axis=1)
    whole = np.linalg.norm(new.to_numpy() - embedding.mean, axis=1)
    np.testing.assert_allclose(np.hypot(along, shown[RESIDUAL]), whole)
