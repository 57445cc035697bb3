"""A fusion model is added by one file and one entry, as docs/extend.md says: in a copy of the library, by the example there."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from fusion_cohort import make_cohort
from running import ROOT

from histoweave.fusion.transforms import Transforms
from histoweave.storage.files import read_json, read_table

BLOCKS = re.findall(r"```python\n(.+?)```", (ROOT / "docs" / "extend.md").read_text(), re.DOTALL)
ENTRY = next(block for block in BLOCKS if block.startswith("register("))
FILE = next(block for block in BLOCKS if block.startswith("# nearest_mean.py"))
USE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fusion_cohort import make_cohort
from histoweave.fusion import catalog
from histoweave.fusion.fitted import load_fold
from histoweave.wiring.fingerprint import code_hash
out = Path(sys.argv[2])
make_cohort(out / "cohort", seed=3).run("nearest_mean", 0, out / "fold")
print(load_fold(out / "fold").info.title)
print(code_hash(*catalog.modules_of("nearest_mean")), code_hash(*catalog.modules_of("centroid")))
"""


def copy_of_the_library(folder):
    library = shutil.copytree(ROOT / "workflow", folder / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    catalog = library / "histoweave/fusion/catalog.py"
    catalog.write_text(catalog.read_text() + ENTRY)
    return library


def run_in(library, out, use=USE):
    environment = {**os.environ, "PYTHONPATH": str(library)}
    command = [sys.executable, "-c", use, str(ROOT / "tests" / "helpers"), str(out)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_one_file_and_one_entry_are_enough(tmp_path):
    library = copy_of_the_library(tmp_path)
    file = library / "histoweave/fusion/models/nearest_mean.py"
    file.write_text(FILE)
    run = run_in(library, tmp_path / "a")
    assert run.returncode == 0, run.stderr
    title, hashes = run.stdout.splitlines()
    assert title == "nearest class mean on RNA"
    assert read_json(tmp_path / "a" / "fold" / "config.json")["model"] == "nearest_mean"
    test = read_table(tmp_path / "a" / "fold" / "predictions.parquet").query("role == 'test'")
    labels = [column.removeprefix("p_") for column in test if column.startswith("p_")]
    called = test[[f"p_{label}" for label in labels]].to_numpy().argmax(axis=1)
    assert np.mean([labels[code] for code in called] == test["y_true"]) > 0.6

    file.write_text(FILE.replace(".square()", ".abs()"))
    again = run_in(library, tmp_path / "b")
    own, other = again.stdout.splitlines()[1].split()
    assert own != hashes.split()[0] and other == hashes.split()[1]  # no other model is fitted again


SMALL = """
from histoweave.fusion.layers import masked_mean
from histoweave.fusion.models.base import Output
from histoweave.fusion.models.ensemble import Ensemble
from torch import nn


class Network(nn.Module):
    def __init__(self, shape, settings):
        super().__init__()
        self.head = nn.Linear(shape.tile_width, shape.n_classes)

    def forward(self, tiles, tile_mask, genes, has_image, has_expression):
        return Output(self.head(masked_mean(tiles, tile_mask)))


def build(shape, settings):
    return Ensemble(Network, shape, settings)
"""
MEAN = """
import torch
from histoweave.fusion.models.base import Output
from histoweave.fusion.models.linear import LinearExpression
from histoweave.fusion.models.logistic_image import LinearImage
from histoweave.fusion.task import Fit
from histoweave.fusion.transforms import Transforms
from torch import nn


class Mean(nn.Module):
    def __init__(self, shape, settings):
        super().__init__()
        self.image, self.expression = LinearImage(shape, settings), LinearExpression(shape, settings)

    def forward(self, *arguments):
        parts = [model(*arguments).logits.softmax(-1) for model in (self.image, self.expression)]
        return Output(torch.stack(parts).mean(0).log())


build = Mean


def fit(task):
    image, rna = task.parts["logistic_image"], task.parts["logistic_expression"]
    transforms = Transforms(image.transforms.image, rna.transforms.expression)
    module = task.build(transforms)
    module.image.load_state_dict(image.module.state_dict())
    module.expression.load_state_dict(rna.module.state_dict())
    return Fit(transforms, module)
"""
OTHERS = """
register(ModelInfo("small", _IMAGE, "small network", neural=True))
register(ModelInfo("mean", _BOTH, "mean of two regressions", needs=("logistic_image", "logistic_expression")))
"""
USE_OTHERS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fusion_cohort import make_cohort
from histoweave.fusion.fitted import load_fold
out = Path(sys.argv[2])
cohort, needs = make_cohort(out / "cohort", seed=3), {}
for model in ("small", "logistic_image", "logistic_expression", "mean"):
    needs[model] = cohort.run(model, 0, out / model, needs=needs)
    print(load_fold(out / model).info.name)
"""


def test_a_small_network_and_a_model_made_of_others_are_read_again(tmp_path):
    library = copy_of_the_library(tmp_path)
    models = library / "histoweave/fusion"
    (models / "catalog.py").write_text((models / "catalog.py").read_text() + OTHERS)
    for name, text in (("small", SMALL), ("mean", MEAN), ("nearest_mean", FILE)):
        (models / "models" / f"{name}.py").write_text(text)
    run = run_in(library, tmp_path, USE_OTHERS)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["small", "logistic_image", "logistic_expression", "mean"]


def test_a_model_that_nobody_can_fit_is_refused(tmp_path):
    library = copy_of_the_library(tmp_path)
    (library / "histoweave/fusion/models/nearest_mean.py").write_text(FILE.partition("def fit(")[0])
    run = run_in(library, tmp_path / "a")
    last = run.stderr.splitlines()[-1]
    assert run.returncode == 1 and "'nearest_mean'" in last and "has no function `fit`" in last
    assert not (tmp_path / "a" / "fold").exists()


def test_a_fit_that_is_not_as_the_catalog_says_is_refused(tmp_path, monkeypatch):
    from histoweave.fusion import fit as module
    from histoweave.fusion.task import Fit

    cohort = make_cohort(tmp_path, seed=3)

    def recipe(task):
        transforms = Transforms(None, task.fit_expression())
        return Fit(transforms, task.build(transforms))

    monkeypatch.setattr(module, "needed", lambda model, function: recipe)
    with pytest.raises(ValueError, match="refitted=True"):
        cohort.run("logistic_expression", 0, tmp_path / "out")
