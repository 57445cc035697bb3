"""Damaged bundles, and bundles sealed over damaged members: read as they were made, or refused in one line."""

import json
import zipfile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apply_data import made_home
from bundle_edits import members, packed, read_member, sealed
from fuzzing import answer, fuzz
from hypothesis import given
from hypothesis import strategies as st

from histoweave.apply.contents import SCORES, check_contents
from histoweave.apply.manifest import NAME, parse
from histoweave.apply.read import Bundle, opened, read_manifest

NAMES = (
    "models/image/fold1/model.safetensors", "models/image/fold0/config.json", "models/image/fold0/transforms.parquet",
    "models/cross_attention/fold1/transforms.parquet", "calibration/temperatures.parquet",
    "calibration/conformal_scores.parquet", "reference/embedding.safetensors", "reference/summary.parquet",
    "reference/genes.parquet", "reference/scanners.parquet", "reference/concepts.parquet", "reference/features.parquet",
    "sae/cfg.json", "sae/sae_weights.safetensors", "sae/training.safetensors",
)  # fmt: skip
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5),
    st.lists(st.integers(-1, 3), max_size=3), st.just({}),
)  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return made_home(tmp_path_factory)[2]


@pytest.fixture(scope="module")
def content(bundle):
    return members(bundle)


@pytest.fixture(scope="module")
def held(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    return Bundle(folder, read_manifest(bundle))


def read(path):
    with opened(path) as held:
        check_contents(held)
        return held.manifest


@st.composite
def damage(draw, data):
    """Bytes cut, overwritten, put in or left out somewhere."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["cut", "flip", "flip", "insert", "remove", "zeros"]))
        if kind == "cut":
            del data[place:]
        elif kind == "flip" and data:
            data[place] ^= draw(st.integers(1, 255))
        elif kind == "insert":
            data[place:place] = draw(st.binary(min_size=1, max_size=9))
        elif kind == "remove":
            del data[place : place + draw(st.integers(1, 40))]
        elif kind == "zeros":
            data[place : place + 16] = bytes(len(data[place : place + 16]))
    return bytes(data)


@fuzz(60)
@given(st.data())
def test_a_damaged_archive(bundle, tmp_path, data):
    """Anywhere in the file, its listing of members more often than chance would."""
    whole = bundle.read_bytes()
    start = data.draw(st.sampled_from([0, whole.index(b"PK\x01\x02")]))
    path = tmp_path / "b.zip"
    path.write_bytes(whole[:start] + data.draw(damage(whole[start:])))
    found = answer(lambda: read(path))
    assert isinstance(found, str) or found == read_manifest(bundle)


def read_changed(held, name, data):
    """Read a member with other bytes; the folder is left as it was."""
    path = held.path(name)
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        return answer(lambda: read_member(held, name))
    finally:
        path.write_bytes(before)


@fuzz(250)
@given(name=st.sampled_from(NAMES), data=st.data())
def test_a_damaged_member_whose_hash_agrees(held, content, name, data):
    found = read_changed(held, name, data.draw(damage(content[name])))
    assert not isinstance(found, str) or found.startswith(str(held.folder))


@fuzz(60)
@given(names=st.permutations(NAMES))
def test_a_member_in_place_of_another(held, content, names):
    read_changed(held, names[0], content[names[1]])


@fuzz(8)
@given(name=st.sampled_from(NAMES), data=st.data())
def test_a_bundle_that_is_sealed_over_a_damaged_member(content, tmp_path, name, data):
    path = sealed(tmp_path / "b.zip", content | {name: data.draw(damage(content[name]))})
    found = answer(lambda: read(path))
    assert not isinstance(found, str) or found.startswith(f"{path}: ")


@st.composite
def changed(draw, raw):
    """JSON with one value, at any depth, replaced or left out."""
    raw = json.loads(json.dumps(raw))
    inside = raw
    while True:
        keys = list(inside) if isinstance(inside, dict) else range(len(inside))
        if not keys:
            return raw
        key = draw(st.sampled_from(list(keys)))
        if isinstance(inside[key], dict | list) and inside[key] and draw(st.booleans()):
            inside = inside[key]
            continue
        if draw(st.booleans()):
            inside[key] = draw(VALUES)
        else:
            del inside[key]
        return raw


@fuzz(150)
@given(st.data())
def test_a_manifest_with_any_other_value(bundle, content, tmp_path, data):
    """Sealed again: what is taken has what the applications ask of it."""
    raw = data.draw(changed(json.loads(content[NAME])))
    path = sealed(tmp_path / "b.zip", {NAME: json.dumps(raw).encode()}, files=raw.get("files"))
    found = answer(lambda: read_manifest(path))
    if not isinstance(found, str):
        assert found.tiles.settings["tile_px"] > 0 and found.encoder.dim >= 1 and len(set(found.classes)) > 1
        assert all(model.folds == [0, 1] for model in found.models)


@fuzz(120)
@given(name=st.sampled_from(["models/image/fold0/config.json", "models/majority/fold1/config.json", "sae/cfg.json"]),
       data=st.data())  # fmt: skip
def test_settings_with_any_other_value(held, content, name, data):
    raw = data.draw(changed(json.loads(content[name])))
    read_changed(held, name, json.dumps(raw).encode())


@fuzz(80)
@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_no_manifest(data):
    assert isinstance(answer(lambda: parse(data, where="b")), str)


def test_a_table_that_states_more_than_it_can_hold(held, tmp_path):
    """Millions of equal numbers are some kilobytes of parquet."""
    table = pa.Table.from_pandas(pd.DataFrame({"model": "image", "fold": 0, "score": 0.5}, index=range(1_000_000)))
    with pq.ParquetWriter(tmp_path / "large.parquet", table.schema, compression="zstd") as writer:
        for _ in range(9):
            writer.write_table(table)
    assert (tmp_path / "large.parquet").stat().st_size < 1 << 20
    said = read_changed(held, SCORES, (tmp_path / "large.parquet").read_bytes())
    assert "more than the 50000000 that are read" in said


def test_texts_that_are_stored_once_and_meant_many_times(held, tmp_path):
    table = pd.DataFrame({"model": "x" * 1000, "fold": 0, "score": 0.5}, index=range(300_000))
    table.to_parquet(tmp_path / "large.parquet", index=False)
    assert (tmp_path / "large.parquet").stat().st_size < 1 << 20
    said = read_changed(held, SCORES, (tmp_path / "large.parquet").read_bytes())
    assert "column 'model' holds 300000000 bytes of text" in said


def test_more_members_than_a_listing_can_be_read_of(content, tmp_path):
    path = packed(tmp_path / "b.zip", content)
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(80):
            archive.writestr(zipfile.ZipInfo(f"{number:060000d}"), b"")
    assert "listing of members is too large" in answer(lambda: read_manifest(path))
