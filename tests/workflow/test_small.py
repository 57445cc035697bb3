"""The small cohort's run: what is compared byte for byte with runs that are killed (tests/faults); repeats of folds."""

from cohorts import LABORATORIES

from histoweave.io import read_json


def test_dictionaries_and_activations_are_among_what_is_compared(small):
    assert len(small.hashes) > 100 and any(name.endswith("model.safetensors") for name in small.hashes)
    sae = "lab_a/sae/cells"
    weights = [f"{sae}/{of}/sae_weights.safetensors" for of in ("seed0", "seed1", "fold0", "fold1")]
    activations = [f"{sae}/{of}/activations.h5" for of in ("fold0", "fold1", "on/lab_a", "on/lab_b")]
    tables = [f"{sae}/{name}.parquet" for name in ("scores/predictions", "stability", "on/lab_b/transfer")]
    tokens = [f"{name}/cells/efficientnet_lite0/0-of-1.h5" for name in LABORATORIES]
    assert {*weights, *activations, *tables, *tokens} <= set(small.hashes)
    assert len({small.hashes[name] for name in weights}) == len(weights), "seed and training images make a dictionary"


def test_repeats_have_folds_of_their_own(small):
    results = small.folder / "results/demo"
    record = read_json(results / "fusion/image/fold3/config.json")
    assert (record["repeat"], record["fold"]) == (1, 1)
    assert not (results / "control").exists()
