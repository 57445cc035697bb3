"""The small cohort's run: what is compared byte for byte with runs that are killed (tests/faults); repeats of folds."""

import shutil

import yaml
from cohorts import LABORATORIES
from running import snakemake

from histoweave.storage.files import read_json, read_table


def test_dictionaries_and_activations_are_among_what_is_compared(small):
    assert len(small.hashes) > 100 and any(name.endswith("model.safetensors") for name in small.hashes)
    sae = "lab_a/sae/cells"
    weights = [f"{sae}/{of}/sae_weights.safetensors" for of in ("seed0", "seed1", "fold0", "fold1")]
    activations = [f"{sae}/{of}/activations.h5" for of in ("fold0", "fold1", "on/lab_a", "on/lab_b")]
    tables = [f"{sae}/{name}.parquet" for name in ("scores/predictions", "stability", "on/lab_b/transfer")]
    tokens = [f"{name}/cells/efficientnet_lite0/0-of-1.h5" for name in LABORATORIES]
    assert {*weights, *activations, *tables, *tokens} <= set(small.hashes)
    assert len({small.hashes[name] for name in weights}) == len(weights), "seed and training images make a dictionary"


def test_repeats_have_folds_of_their_own(small, tmp_path):
    """The cohort once more as far as the report, with two repeats and a model of each kind: fitted, scored, explained."""
    folder = shutil.copytree(small.folder, tmp_path / "run", copy_function=shutil.copy2)
    config = folder / "config/config.yaml"
    raw = yaml.safe_load(config.read_text())
    raw["folds"]["repeats"] = 2
    raw["fusion"]["models"] = ["logistic_expression", "image"]
    config.write_text(yaml.safe_dump(raw))
    snakemake("results/demo/report.html", "--cores", 2, *small.CONFIG, directory=folder)
    results = folder / "results/demo"
    record = read_json(results / "fusion/image/fold3/config.json")
    assert (record["repeat"], record["fold"]) == (1, 1)
    predictions = read_table(results / "predictions.parquet")
    tested = predictions.groupby(["model", "repeat"])["patient"].nunique().unstack()
    assert (
        list(tested) == [0, 1]
        and tested[0].equals(tested[1].rename(0))
        and set(tested.index) == {*raw["fusion"]["models"]}
    )


def test_a_control_that_is_switched_off_leaves_nothing(small):
    assert not (small.folder / "results/demo/control").exists()
