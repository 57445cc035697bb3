"""Bundles that are sealed as they should be and hold something that they should not."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

import pandas as pd
from safetensors.torch import load, save

from histoweave.apply.contents import TEMPERATURES, fold_model, read_scores, read_temperatures
from histoweave.apply.manifest import NAME
from histoweave.apply.reference import EMBEDDING, read_embedding, read_reference
from histoweave.sae import format


def members(path):
    """Member → its bytes."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path, content, method=zipfile.ZIP_STORED):
    """A zip of members as they are."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def sealed(path, content, **manifest):
    """A bundle of these members whose manifest has their hashes and its own, and `manifest` in place of its values."""
    raw = json.loads(content[NAME]) | manifest
    listed = {name: hashlib.sha256(data).hexdigest() for name, data in content.items() if name != NAME}
    raw["files"] = manifest.get("files", listed)
    canonical = json.dumps({key: value for key, value in raw.items() if key != "sha256"}, sort_keys=True)
    raw["sha256"] = hashlib.sha256(canonical.encode()).hexdigest()
    return packed(path, content | {NAME: json.dumps(raw).encode()})


def with_table(content, name, change):
    """The members with one parquet table changed."""
    table = change(pd.read_parquet(io.BytesIO(content[name])))
    out = io.BytesIO()
    table.to_parquet(out, index=False)
    return content | {name: out.getvalue()}


def with_tensors(content, name, change):
    """The members with the tensors of one changed in place."""
    tensors = load(content[name])
    change(tensors)
    return content | {name: save(tensors)}


def with_json(content, name, change):
    """The members with the keys of one JSON file changed in place."""
    raw = json.loads(content[name])
    change(raw)
    return content | {name: json.dumps(raw).encode()}


def read_member(held, name):
    """What an application reads of a member, with the members that belong to it."""
    kind, *rest = name.split("/")
    if kind == "models":
        return fold_model(held, rest[0], int(rest[1].removeprefix("fold")))
    if kind == "sae":
        return format.load(held.folder / "sae")
    if name == EMBEDDING:
        return read_embedding(held.path(name), dim=held.manifest.encoder.dim)
    if kind == "calibration":
        return read_temperatures(held) if name == TEMPERATURES else read_scores(held)
    return read_reference(held.folder, name)
