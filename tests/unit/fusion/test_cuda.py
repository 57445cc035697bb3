"""A fold on a GPU: the projected tiles in its memory, training in half precision, predictions as on the CPU."""

import numpy as np
import pytest
import torch
from fusion_cohort import make_cohort

from histoweave.fusion.fitted import load_fold
from histoweave.fusion.projected import TileFile
from histoweave.storage.files import read_table

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
P = ["p_neg", "p_pos"]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("f"), seed=1, n=40, n_features=16, n_genes=40, n_folds=2)


@pytest.mark.parametrize("model", ["image", "concat", "cross_attention"])
def test_a_fit_on_the_gpu_predicts_there_as_on_the_cpu(cohort, tmp_path, model):
    out = cohort.run(model, 0, tmp_path, device="cuda")
    table = read_table(out / "predictions.parquet")
    assert np.isfinite(table[P].to_numpy()).all()
    values = {}
    for device in ("cpu", "cuda"):
        fitted = load_fold(out, device=device)
        everyone = cohort.everyone()
        values[device], _ = fitted.predict(fitted.batcher(everyone), image_of=everyone.ids, expression_of=everyone.ids)
    np.testing.assert_allclose(values["cuda"], values["cpu"], atol=1e-4)


@pytest.mark.parametrize("fits", [True, False])
def test_tiles_lie_in_the_memory_of_the_gpu_where_they_fit(cohort, tmp_path, monkeypatch, fits):
    monkeypatch.setattr("histoweave.fusion.projected._GPU_SHARE", 0.5 if fits else 0.0)
    seen = []
    original = TileFile.on_gpu.func
    monkeypatch.setattr(TileFile, "on_gpu", property(lambda file: seen.append(original(file)) or seen[-1]))
    cohort.run("image", 0, tmp_path, device="cuda")
    assert seen and all((tiles is not None and tiles.is_cuda) == fits for tiles in seen)


def test_two_fits_on_the_gpu_give_the_same_bytes(cohort, tmp_path):
    one, two = (cohort.run("cross_attention", 0, tmp_path / name, device="cuda") for name in ("a", "b"))
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()
