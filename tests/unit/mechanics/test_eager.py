"""Optimisers without torch's compiler: the same steps, and it is not imported."""

from __future__ import annotations

import pytest
import torch
from fresh_process import printed

from histoweave.mechanics.eager import eager


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
def test_steps_are_the_same_bits(name):
    weights = []
    for wrap in (lambda optimiser: optimiser, eager):
        torch.manual_seed(0)
        network = torch.nn.Linear(5, 3)
        optimiser = wrap(getattr(torch.optim, name))(network.parameters(), lr=0.1, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.9**step)
        for _ in range(4):
            optimiser.zero_grad()
            network(torch.randn(7, 5)).square().sum().backward()
            optimiser.step()
            schedule.step()
        assert all(weight.requires_grad for weight in network.parameters())
        weights.append([weight.detach().clone() for weight in network.parameters()])
    for one, other in zip(*weights, strict=True):
        assert torch.equal(one, other)


def test_fitting_a_dictionary_leaves_the_compiler_out(tmp_path):
    code = f"""
import sys
import numpy as np, torch
from sae_fixtures import shard
from histoweave.settings.sae import Sae
from histoweave.sae.train import fit
tokens = shard({str(tmp_path / "a.h5")!r}, np.random.default_rng(0).standard_normal((50, 8), dtype=np.float32))
fit(tokens, settings=Sae(expansion=2, k=3), seed=0, device=torch.device("cpu"))
print("torch._dynamo" in sys.modules)
"""
    assert printed(code) == "False"


def test_fitting_a_fold_leaves_the_compiler_out(tmp_path):
    code = f"""
import sys
from pathlib import Path
from fusion_cohort import make_cohort
make_cohort(Path({str(tmp_path)!r}), seed=0, n=24, n_features=6, n_genes=10, n_folds=2, n_classes=2).run(
    "cross_attention", 0, Path({str(tmp_path / "fold")!r})
)
print("torch._dynamo" in sys.modules)
"""
    assert printed(code) == "False"
    # A fitted model is built for its sizes first.
    code = f"""
import sys
from histoweave.fusion.fitted import load_fold
load_fold({str(tmp_path / "fold")!r})
print({{"torch._dynamo", "sympy", "sklearn"}} & set(sys.modules))
"""
    assert printed(code) == "set()"
