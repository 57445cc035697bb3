"""The small cohort's run: what is compared byte for byte with runs that are killed (tests/faults); repeats of folds."""

import yaml
from cohorts import LABORATORIES
from running import planned, snakemake


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
    """What is planned; the folds themselves are tested in test_folds.py and test_fusion_fold.py."""
    raw = yaml.safe_load((small.folder / "config/config.yaml").read_text())
    raw["folds"]["repeats"] = 3
    (tmp_path / "repeated.yaml").write_text(yaml.safe_dump(raw))
    call = ("-n", "--configfile", tmp_path / "repeated.yaml")
    jobs = planned(snakemake(*call, directory=small.folder))
    assert jobs["folds"] == 1 and jobs["fusion_fold"] == 3 * 2 * len(raw["fusion"]["models"])


def test_a_control_that_is_switched_off_leaves_nothing(small):
    assert not (small.folder / "results/demo/control").exists()
