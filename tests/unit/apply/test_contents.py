"""A bundle that is sealed, so that every hash agrees, and that no application may take all the same."""

import json
import os
import tracemalloc
import zipfile
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from apply_data import MODELS, N_FOLDS, made_home
from bundle_edits import members, packed, read_member, sealed, with_json, with_table, with_tensors
from fuzzing import answer

from histoweave.apply.contents import SCORES, TEMPERATURES, check_contents
from histoweave.apply.manifest import NAME, parse
from histoweave.apply.read import opened, read_manifest
from histoweave.apply.reference import EMBEDDING, GENES, SUMMARY
from histoweave.errors import InputError

WEIGHTS = "models/image/fold1/model.safetensors"
CONFIG = "models/image/fold1/config.json"
OF_IMAGE, OF_RNA = "models/image/fold1/transforms.parquet", "models/expression/fold0/transforms.parquet"
P = ["p_neg", "p_pos"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return made_home(tmp_path_factory)


@pytest.fixture(scope="module")
def content(home):
    return members(home[2])


def read(path):
    with opened(path) as held:
        check_contents(held)


def setting(**changes):
    return lambda tensors: tensors.update(changes)


def first_row(column, value):
    return lambda table: table.assign(**{column: [value, *table[column][1:]]})


def change_first(value):
    def change(tensors):
        name = min(tensors)
        tensors[name].view(-1)[0] = value

    return change


@pytest.mark.parametrize(
    ("name", "edit", "change", "words"),
    [
        (WEIGHTS, with_tensors, change_first(torch.nan), "NaN or infinity"),
        (WEIGHTS, with_tensors, change_first(torch.inf), "NaN or infinity"),
        (WEIGHTS, with_tensors, setting(extra=torch.ones(1)), "'extra' is not one of the model"),
        (WEIGHTS, with_tensors, lambda tensors: tensors.pop(min(tensors)), "is missing"),
        (WEIGHTS, with_tensors, lambda t: t.update({min(t): t[min(t)].half()}), "torch.float16"),
        (WEIGHTS, with_tensors, lambda t: t.update({min(t): t[min(t)][..., :1].contiguous()}), "has shape"),
        (CONFIG, with_json, setting(classes=["pos", "neg"]), "its classes are pos, neg"),
        (CONFIG, with_json, setting(classes=["neg"]), "not two or more different names"),
        (CONFIG, with_json, setting(model="expression"), "not the transforms of a model 'expression'"),
        (CONFIG, with_json, setting(model="other"), "'other' is not known"),
        (CONFIG, with_json, lambda raw: raw["settings"].update(width=10**9), "has shape"),
        (CONFIG, with_json, lambda raw: raw["settings"].update(members=50), "is missing"),
        (CONFIG, with_json, lambda raw: raw["settings"].update(heads=3), "does not divide"),
        (CONFIG, with_json, lambda raw: raw["settings"].update(width="x"), "settings.width"),
        (CONFIG, with_json, lambda raw: raw.pop("settings"), "settings"),
        (OF_IMAGE, with_table, first_row("scale", 0.0), "scale of the image features is not above 0"),
        (OF_IMAGE, with_table, first_row("mean", np.nan), "mean of the image features is missing"),
        (OF_IMAGE, with_table, first_row("mean", np.inf), "not a finite number"),
        (OF_IMAGE, with_table, first_row("loadings", [1.0]), "loadings"),
        (OF_IMAGE, with_table, lambda table: table[::-1], "not in order"),
        (OF_IMAGE, with_table, lambda table: table[:-1], "takes features of 63 values"),
        (OF_IMAGE, with_table, lambda table: table.drop(columns="scale"), "'scale' is missing"),
        (OF_IMAGE, with_table, lambda table: table.assign(mean=table["mean"].astype(str)), "'mean' holds"),
        (OF_RNA, with_table, first_row("feature", "G1"), "a gene occurs twice"),
        (OF_RNA, with_table, lambda table: table.assign(kept=False), "no gene is kept"),
        (OF_RNA, with_table, lambda table: table.assign(scale=-1.0), "scale of a kept gene"),
        (OF_RNA, with_table, lambda table: table.assign(group=10**12), "groups of the genes"),
        (OF_RNA, with_table, lambda table: table.assign(group=-1), "not the transforms of a model"),
        (OF_RNA, with_table, lambda table: table.assign(feature="X" + table["feature"]), "none of the bundle's"),
        (OF_RNA, with_table, lambda table: table[:0], "not the transforms of a model"),
        (TEMPERATURES, with_table, first_row("temperature", -1.0), "temperature -1 of model"),
        (TEMPERATURES, with_table, first_row("temperature", 0.0), "temperature 0 of model"),
        (TEMPERATURES, with_table, first_row("temperature", np.nan), "not a finite number"),
        (TEMPERATURES, with_table, first_row("temperature", 1e9), "temperature 1e+09"),
        (TEMPERATURES, with_table, lambda table: pd.concat([table, table[:1]]), "two temperatures"),
        (TEMPERATURES, with_table, lambda table: table[1:], "lacks fold 0"),
        (TEMPERATURES, with_table, first_row("fold", 7), "lacks fold 0"),
        (TEMPERATURES, with_table, lambda table: table.assign(model="other"), "'other' is none of the bundle"),
        (SCORES, with_table, first_row("score", 1.5), "score 1.5"),
        (SCORES, with_table, first_row("score", np.nan), "not a finite number"),
        (SCORES, with_table, lambda table: table[table["fold"] == 0], "lacks fold 1"),
        (SCORES, with_table, first_row("fold", 9), "has no model of fold 9"),
        (GENES, with_table, first_row("gene", "G101"), "'G101' occurs twice"),
        (SUMMARY, with_table, first_row("low", 1e9), "'low' is above 'median'"),
        (EMBEDDING, with_tensors, lambda t: t.update(scale=0 * t["scale"]), "'scale' is not above 0"),
        (EMBEDDING, with_tensors, setting(mean=torch.zeros(3, dtype=torch.float64)), "64 values"),
        ("sae/sae_weights.safetensors", with_tensors, change_first(torch.nan), "NaN or infinity"),
    ],
)  # fmt: skip
def test_a_member_that_does_not_fit_is_refused_by_name(content, tmp_path, name, edit, change, words):
    path = sealed(tmp_path / "b.zip", edit(content, name, change))

    def read_it():
        with opened(path) as held:
            read_member(held, name)

    said = answer(read_it)
    assert said is not None and words in said
    assert said.startswith(f"{path}: ") and "histoweave-bundle-" not in said  # the place it was unpacked to is no one's
    assert name.rsplit("/", 1)[0] in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": ["pos", "neg"]}, "is not the last of two"),
        ({"classes": ["pos", "pos"]}, "one name stands for two"),
        ({"positive": "neg"}, "is not the last of two"),
        ({"n_folds": 3}, "not 0 to 2, each once"),
        ({"n_folds": 10**9}, "each once"),
        ({"n_folds": 10**12}, "n_folds"),
        ({"n_folds": 0}, "n_folds"),
        ({"encoder": None}, "a model reads images"),
        ({"expression": None}, "a model reads RNA"),
        ({"files": {}}, "is not listed"),
        ({"cohort": "../x"}, "cohort"),
        ({"tiles": {"tile_px": 224, "target_mpp": 0.5, "settings": {}}}, "tile_px is missing"),
        ({"tiles": {"tile_px": 224, "target_mpp": -0.5, "settings": {}}}, "target_mpp"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused_before_any_job(content, tmp_path, changes, words):
    said = answer(lambda: read_manifest(sealed(tmp_path / "b.zip", content, **changes)))
    assert isinstance(said, str) and words in said


def test_a_manifest_with_millions_of_wrong_entries_takes_little_memory(content, tmp_path):
    raw = json.loads(content[NAME])
    for changes in ({"models": [{}] * 100_000}, {"expression": raw["expression"] | {"genes": [1] * 100_000}}):
        data = json.dumps(raw | changes).encode()
        tracemalloc.start()
        said = answer(lambda text=data: parse(text, where="b"))
        assert isinstance(said, str) and tracemalloc.get_traced_memory()[1] < 20 * len(data) + (16 << 20)
        tracemalloc.stop()


@pytest.mark.parametrize("folds", [[0], [0, 0], [1, 0], [0, 1, 2], [0, 2], []])
def test_missing_and_repeated_folds_are_refused(content, tmp_path, folds):
    models = [model.model_dump() for model in read_manifest(packed(tmp_path / "good.zip", content)).models]
    models[2]["folds"] = folds
    said = answer(lambda: read_manifest(sealed(tmp_path / "b.zip", content, models=models)))
    assert f"folds of model '{models[2]['name']}' are not 0 to 1, each once" in said


def test_names_and_modalities_of_models_are_those_of_the_catalogue(content, tmp_path):
    models = [model.model_dump() for model in read_manifest(packed(tmp_path / "good.zip", content)).models]
    for change, words in (
        ({"name": "new"}, "'new' is not known"),
        ({"name": "image"}, "'image' occurs twice"),
        ({"modalities": []}, "is said to read nothing"),
    ):
        said = answer(lambda c=change: read_manifest(sealed(tmp_path / "b.zip", content, models=[*models[:-1], models[-1] | c])))  # fmt: skip
        assert words in said


def test_the_unchanged_bundle_is_taken_and_so_is_one_packed_with_deflate(content, tmp_path):
    read(sealed(tmp_path / "b.zip", content))
    read(packed(tmp_path / "d.zip", content, zipfile.ZIP_DEFLATED))


# ------------------------------------------------------------ archives


def test_a_bomb_is_refused_by_its_sizes(content, tmp_path):
    large = bytes(200 << 20)
    for name, words in (("bundle.json", "larger than 8 MB"), (WEIGHTS, "would unpack to")):
        path = tmp_path / "bomb.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for member, data in content.items():
                archive.writestr(member, large if member == name else data)
        tracemalloc.start()
        said = answer(lambda p=path: read(p))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert words in said and peak < 32 << 20


def test_a_size_that_a_member_hides_is_not_read(content, tmp_path):
    """The listing states 10 bytes of a member that unpacks to 100 MB: no more than that is taken."""
    path = packed(tmp_path / "b.zip", content | {"bundle.json": b"[" + b" " * (100 << 20)}, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    listed = data.rindex(b"bundle.json") - 46
    data[listed + 24 : listed + 28] = (10).to_bytes(4, "little")
    path.write_bytes(data)
    tracemalloc.start()
    said = answer(lambda: read_manifest(path))
    assert isinstance(said, str) and tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a\\b"])
def test_names_that_lead_elsewhere_are_refused(content, tmp_path, name):
    assert "outside the bundle" in answer(lambda: read(packed(tmp_path / "b.zip", content | {name: b"x"})))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_repeated_encrypted_and_oddly_packed_members_are_refused(content, tmp_path):
    path = packed(tmp_path / "b.zip", content)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(WEIGHTS, b"other")
    assert f"'{WEIGHTS}' occurs twice" in answer(lambda: read(path))
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = packed(tmp_path / "b.zip", content, method)
        assert "compressed in a form that is not read" in answer(lambda p=path: read(p))
    data = bytearray(packed(tmp_path / "b.zip", content).read_bytes())
    listed = data.rindex(WEIGHTS.encode()) - 46
    data[listed + 8] |= 1
    path.write_bytes(data)
    assert "is encrypted" in answer(lambda: read(path))


def test_what_is_no_bundle_at_all(tmp_path):
    pointer = tmp_path / "bundle.zip"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    assert "Git LFS pointer" in answer(lambda: read_manifest(pointer))
    (tmp_path / "empty.zip").touch()
    assert "is empty" in answer(lambda: read_manifest(tmp_path / "empty.zip"))
    os.mkfifo(tmp_path / "pipe.zip")
    assert "is a pipe" in answer(lambda: read_manifest(tmp_path / "pipe.zip"))
    assert "is a device" in answer(lambda: read_manifest("/dev/zero"))
    assert "is not there" in answer(lambda: read_manifest(tmp_path))


def test_a_member_of_a_folder_that_is_a_pipe_or_a_pointer_is_refused(home, content, tmp_path):
    with zipfile.ZipFile(home[2]) as archive:
        archive.extractall(tmp_path)
    (tmp_path / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    assert "Git LFS pointer" in answer(lambda: read(tmp_path))
    (tmp_path / WEIGHTS).unlink()
    assert f"member '{WEIGHTS}' is missing" in answer(lambda: read(tmp_path))


# ------------------------------------------------------------ folds


FOLD_FILES = ("config.json", "model.safetensors", "transforms.parquet")


@pytest.mark.parametrize("files", [FOLD_FILES, *[(name,) for name in FOLD_FILES[1:]]])
@pytest.mark.parametrize(
    "model", ["image", "expression", "logistic_expression", "centroid", "logistic_image", "logistic_both"]
)
def test_a_fold_in_the_place_of_another(content, tmp_path, files, model):
    copied = {f"models/{model}/fold0/{name}": content[f"models/{model}/fold1/{name}"] for name in files}
    said = answer(lambda: read(sealed(tmp_path / "b.zip", content | copied)))
    assert isinstance(said, str) and ("is of fold 1, not 0" in said or "is the one of fold 0" in said)


def test_folds_that_changed_places(content, tmp_path):
    swapped = {
        f"models/image/fold{k}/{name}": content[f"models/image/fold{1 - k}/{name}"]
        for k in (0, 1)
        for name in FOLD_FILES
    }
    said = answer(lambda: read(sealed(tmp_path / "b.zip", content | swapped)))
    assert isinstance(said, str) and "fold0/config.json: is of fold 1, not 0" in said


@pytest.mark.parametrize("value", ["1", True, None, [1], 1.5])
def test_a_fold_that_is_no_number(content, tmp_path, value):
    changed = with_json(content, CONFIG, lambda config: config.update(k=value))
    said = answer(lambda: read(sealed(tmp_path / "b.zip", changed)))
    assert isinstance(said, str) and "is of fold" in said


def test_a_manifest_with_a_byte_order_mark_and_a_bundle_packed_with_its_folder(content, tmp_path):
    read(packed(tmp_path / "bom.zip", content | {NAME: b"\xef\xbb\xbf" + content[NAME]}))
    said = answer(lambda: read(packed(tmp_path / "in.zip", {f"bundle/{name}": data for name, data in content.items()})))
    assert "was packed with its folder, as 'bundle/bundle.json'" in said


# ------------------------------------------------------------ votes


def test_one_value_out_of_range_costs_one_patient_its_predictions(home, tmp_path):
    _, others, bundle = home
    good = others.apply(bundle, tmp_path / "good")["predictions"].set_index(["model", "patient"])
    table = others.expression.set_index("patient")
    table.loc["P043", "G1"] = 1e39
    found = replace(others, expression=table.reset_index()).apply(bundle, tmp_path / "bad")
    rows = found["predictions"].set_index(["model", "patient"])
    concerned = {model for model in MODELS if rows.loc[(model, "P043"), "status"] != "ok"}
    simple = {"top_pairs", "centroid", "logistic_expression", "logistic_both"}
    assert concerned == simple | {"expression", "late_mean", "cross_attention"}
    for model in MODELS:
        row = rows.loc[(model, "P043")]
        if model in concerned:
            assert row["status"] == "cannot" and "an RNA value is larger" in row["reason"] and row["n_models"] == 0
            assert row[[*P, "entropy", "disagreement"]].isna().all() and row["called"] is None and row["set"] is None
        else:
            pd.testing.assert_series_equal(row, good.loc[(model, "P043")])
    others_rows = [key for key in rows.index if key[1] != "P043"]
    pd.testing.assert_frame_equal(rows.loc[others_rows], good.loc[others_rows])
    assert found["metrics"].query("scope == 'pooled'")["n"].eq(19).all()
    assert found["coverage"].query("scope == 'pooled' and model == 'expression'")["n"].eq(19).all()


def test_one_tile_feature_out_of_range_costs_one_patient_its_predictions(home, tmp_path):
    _, others, bundle = home
    slides = others.slides.set_index("patient")
    copy = tmp_path / "P044.h5"
    with open(slides.loc["P044", "features"], "rb") as file:
        copy.write_bytes(file.read())
    with h5py.File(copy, "a") as file:
        file["features"][2, 3] = 3e38
    slides.loc["P044", "features"] = str(copy)
    rows = replace(others, slides=slides.reset_index()).apply(bundle, tmp_path)["predictions"]
    lost = rows[rows["status"] != "ok"]
    assert set(lost["patient"]) == {"P044"} and set(lost["model"]) == {
        "logistic_image",
        "logistic_both",
        "image",
        "late_mean",
        "cross_attention",
    }
    assert lost["reason"].str.contains("a tile feature is larger").all()


def test_a_patient_is_predicted_by_all_fold_models_or_not_at_all(home, content, tmp_path):
    """Finite weights of one fold that are too large for any patient: nobody is predicted by half of the folds."""
    _, others, _ = home

    def enlarge(tensors):
        for name, value in tensors.items():
            if value.is_floating_point():
                tensors[name] = torch.full_like(value, 3e38)

    path = sealed(tmp_path / "b.zip", with_tensors(content, WEIGHTS, enlarge))
    rows = others.apply(path, tmp_path)["predictions"].query("model == 'image'")
    assert rows["status"].eq("cannot").all() and rows[P].isna().all(axis=None)
    assert rows["n_models"].eq(N_FOLDS - 1).all() and rows["set"].isna().all()
    assert rows["reason"].str.contains("the model of fold 1 gives no probabilities").all()


def test_the_stage_that_compares_refuses_it_already(home, content, tmp_path):
    path = sealed(tmp_path / "b.zip", with_tensors(content, WEIGHTS, change_first(torch.nan)))
    with pytest.raises(InputError, match="so this fold could not vote"):
        home[1].compare(path, tmp_path)


@pytest.mark.parametrize("value", [-1, 10**6])
def test_a_pair_of_genes_that_are_not_there(content, tmp_path, value):
    name = "models/top_pairs/fold0/model.safetensors"
    changed = with_tensors(content, name, lambda tensors: tensors["pairs"].fill_(value))
    said = answer(lambda: read(sealed(tmp_path / "b.zip", changed)))
    assert isinstance(said, str) and "'pairs' names a gene that is not there" in said
