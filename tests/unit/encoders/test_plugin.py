"""Encoders of the user: what a plugin gives is what its network gives, and what does not fit is refused in one line."""

import sys

import numpy as np
import pytest
import torch
from changes import PLUGIN

from histoweave.encoders import registry
from histoweave.encoders.inference import TileEncoder as Inference
from histoweave.encoders.loading import load
from histoweave.encoders.plugin import read_plugin
from histoweave.errors import InputError
from histoweave.settings.config import parse_config
from histoweave.settings.encoder import TileEncoder


@pytest.fixture
def plugin(tmp_path):
    def plugin(text=PLUGIN, name="my_encoder.py"):
        (tmp_path / name).write_text(text)
        return TileEncoder(plugin=str(tmp_path / name))

    return plugin


def test_features_are_those_of_the_network(plugin):
    encoder = plugin()
    registry.check(encoder)
    loaded = load(encoder)
    assert (encoder.name, encoder.folder, loaded.dim, loaded.input_px) == ("my_encoder", "my_encoder", 12, 224)
    tiles = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    found = Inference(loaded, device=torch.device("cpu"), arithmetic="float32")(tiles)
    quarters = tiles.reshape(3, 2, 112, 2, 112, 3).mean(axis=(2, 4)) / 255
    assert np.allclose(found, ((quarters - 0.5) / 0.5).transpose(0, 3, 1, 2).reshape(3, 12), atol=1e-5)


def test_the_files_content_is_part_of_the_identity(plugin):
    first, again = load(plugin()).weights_sha256, load(plugin()).weights_sha256
    assert first == again != load(plugin(PLUGIN + "# other words\n")).weights_sha256
    assert plugin().files == [plugin().plugin]


CASES = {
    "no function": ("VALUE = 1\n", "has no function 'encoder'"),
    "a mistake": ("def encoder(:\n", "SyntaxError"),
    "a failure": ("def encoder():\n    return 1 / 0\n", "ZeroDivisionError"),
    "a missing key": (PLUGIN.replace('"dim": 12, ', ""), "has to return a mapping of 'module', 'dim'"),
    "another length": (PLUGIN.replace('"dim": 12', '"dim": 13'), r"a tile gives \(1, 12\), not \(1, 13\)"),
    "no vector": (PLUGIN.replace(", torch.nn.Flatten()", ""), r"a tile gives \(1, 3, 2, 2\)"),
    "no module": (PLUGIN.replace('"module": module', '"module": 1'), "'module' is not a torch module"),
    "two means": (PLUGIN.replace("(0.5, 0.5, 0.5)", "(0.5, 0.5)"), "'mean' is not three numbers"),
    "no licence": (PLUGIN.replace('"none"', '" "'), "name the licence"),
    "not a number": (PLUGIN.replace("torch.nn.Flatten()", "torch.nn.Flatten(), torch.nn.Threshold(9, float('nan'))"), "NaN"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_refused(plugin, case):
    text, words = CASES[case]
    with pytest.raises(InputError, match=words) as caught:
        read_plugin(plugin(text).plugin)
    assert "\n" not in str(caught.value) and "my_encoder.py" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [CASES["another length"], ("import os\nos._exit(3)\n", "my_encoder.py': its process ended with 3")],
    ids=["another length", "its process ended"],
)
def test_it_is_refused_before_the_run(plugin, text, words):
    with pytest.raises(InputError, match=words) as caught:
        registry.check(plugin(text))
    assert "\n" not in str(caught.value) and "my_encoder.py" in str(caught.value)


def test_other_refusals(tmp_path, plugin):
    with pytest.raises(InputError, match="does not exist"):
        registry.check(TileEncoder(plugin=str(tmp_path / "gone.py")))
    with pytest.raises(InputError, match="not a Python file"):
        registry.check(plugin(name="my_encoder.txt"))
    with pytest.raises(InputError, match="loads its own weights"):
        registry.check(TileEncoder(plugin=plugin().plugin, weights="w.safetensors"))
    with pytest.raises(InputError, match=r"unknown key 'cells\.encoder\.plugin'"):
        parse_config({"cohorts": {"a": {"cells": "c.tsv"}}, "cells": {"encoder": {"name": "x", "plugin": "p.py"}}})


def test_checking_does_not_run_the_plugin_here(plugin):
    before = set(sys.modules)
    registry.check(plugin())
    assert not {name for name in set(sys.modules) - before if "plugin" in name}
