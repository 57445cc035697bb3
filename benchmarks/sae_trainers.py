"""The trainers of `sae.py`, ours and others, the tokens that they fit, and how what they fitted is judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PER_IMAGE = 257
HELD_OUT = 0.1
DATA_SEED, MODEL_SEED, ORDER_SEED = 1, 2, 3  # a model must not be drawn from the numbers that made the data


def make_tokens(folder: Path, n: int, dim: int, n_true: int) -> dict[str, Any]:
    """Sums of unit directions: 24 at a time on average, each at a rate of 1 / rank (Zipf), of weight 1 + |N(0,1)|.

    The mean of every value is 0.3 besides, the noise 0.05. Nine tenths go into `train.h5`, the rest into `held.h5`.
    """
    import h5py
    import numpy as np
    from scipy import optimize, sparse

    rng = np.random.default_rng(DATA_SEED)
    directions = rng.standard_normal((n_true, dim), dtype=np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    np.save(folder / "directions.npy", directions)
    rank = np.arange(1, n_true + 1)
    scale = optimize.brentq(lambda scale: np.minimum(1, scale / rank).sum() - 24, 0, 24)
    rate = np.minimum(1, scale / rank).astype(np.float32)
    n_held = round(HELD_OUT * n)
    for name, n_rows in (("train", n - n_held), ("held", n_held)):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            tokens = file.create_dataset("tokens", (n_rows, dim), np.float32)
            for start in range(0, n_rows, 4096):
                stop = min(start + 4096, n_rows)
                weights = sparse.csr_array(
                    rng.random((stop - start, n_true), dtype=np.float32) < rate, dtype=np.float32
                )
                weights.data += np.abs(rng.standard_normal(len(weights.data), dtype=np.float32))
                rows = weights @ directions
                tokens[start:stop] = rows + 0.3 + 0.05 * rng.standard_normal(rows.shape, dtype=np.float32)
            _write_images(file, n_rows)
    return {}


def _write_images(file: Any, n_rows: int) -> None:
    import numpy as np

    offsets = np.append(np.arange(0, n_rows, PER_IMAGE), n_rows)
    file["offsets"] = offsets.astype(np.int64)
    file["cell"] = [f"{number}" for number in range(len(offsets) - 1)]


def repeat_tokens(source: Path, target: Path, times: int) -> dict[str, Any]:
    """A file whose tokens are those of `source`, over and over, in float16."""
    import h5py
    import numpy as np

    with h5py.File(source) as file, h5py.File(target, "w") as new:
        n = len(file["tokens"])
        tokens = new.create_dataset("tokens", (times * n, file["tokens"].shape[1]), np.float16)
        for start in range(0, n, 8192):
            rows = file["tokens"][start : start + 8192]
            for turn in range(times):
                tokens[turn * n + start : turn * n + start + len(rows)] = rows
        _write_images(new, times * n)
    return {}


def settings_of(task: dict[str, Any]) -> Any:
    """Of our trainer: TopK with a constant learning rate."""
    from histoweave.settings.sae import Sae

    return Sae(
        variant="topk",
        expansion=task["expansion"],
        k=task["k"],
        epochs=task["epochs"],
        batch_tokens=task["batch"],
        learning_rate=task["learning_rate"],
        warmup_steps=0,
        decay_share=0.0,
    )


def _prepared(task: dict[str, Any]) -> None:
    import torch

    torch.set_num_threads(task["threads"])
    torch.manual_seed(MODEL_SEED)


def _timed(train: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    import torch

    wall, cpu = time.perf_counter(), time.process_time()
    result = train()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return result, {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


def histoweave(task: dict[str, Any], out: str) -> dict[str, Any]:
    """From the file to the dictionary: measuring the tokens and shuffling them is part of it."""
    _prepared(task)
    import torch

    from histoweave.sae.format import save
    from histoweave.sae.tokens import Tokens, cell_blocks
    from histoweave.sae.train import fit

    tokens = Tokens(cell_blocks(task["train"]))
    settings = settings_of(task)
    (sae, _), spent = _timed(
        lambda: fit(tokens, settings=settings, seed=MODEL_SEED, device=torch.device(task["device"]))
    )
    save(sae, out)
    return spent


def _in_memory(task: dict[str, Any]) -> tuple[Any, Any, Iterator[Any]]:
    """All tokens, their mean, and batches of them in random order."""
    import h5py
    import torch

    with h5py.File(task["train"]) as file:
        tokens = torch.from_numpy(file["tokens"][:])

    def batches() -> Iterator[Any]:
        generator = torch.Generator().manual_seed(ORDER_SEED)
        left = round(task["epochs"] * len(tokens))
        while left:
            for rows in torch.randperm(len(tokens), generator=generator)[:left].split(task["batch"]):
                left -= len(rows)
                yield tokens[rows].to(task["device"])

    return tokens, tokens.mean(dim=0), batches()


def dense(task: dict[str, Any], out: str) -> dict[str, Any]:
    """What everyone writes first: autograd through dense products, Adam, decoder rows set to length 1 after each step."""
    _prepared(task)
    import torch

    from histoweave.sae.format import save
    from histoweave.sae.model import SparseAutoencoder

    tokens, mean, batches = _in_memory(task)
    w_dec = torch.nn.functional.normalize(torch.randn(task["expansion"] * tokens.shape[1], tokens.shape[1]), dim=1)
    weights = {"w_enc": w_dec.T.clone(), "b_enc": torch.zeros(len(w_dec)), "w_dec": w_dec, "b_dec": mean.clone()}
    weights = {name: value.to(task["device"]) for name, value in weights.items()}
    w_enc, b_enc, w_dec, b_dec = (value.requires_grad_() for value in weights.values())
    adam = torch.optim.Adam(weights.values(), lr=task["learning_rate"])

    def train() -> None:
        for x in batches:
            z = ((x - b_dec) @ w_enc + b_enc).relu()
            values, latents = z.topk(task["k"], dim=1)
            x_hat = torch.zeros_like(z).scatter(1, latents, values) @ w_dec + b_dec
            loss = (x_hat - x).square().sum(dim=1).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            with torch.no_grad():
                w_dec.div_(w_dec.norm(dim=1, keepdim=True))

    _, spent = _timed(train)
    weights = {name: value.detach().cpu() for name, value in weights.items()}
    save(SparseAutoencoder(architecture="topk", k=task["k"], **weights), out)
    return spent


def sparsify(task: dict[str, Any], out: str) -> dict[str, Any]:
    """Its SparseCoder in a loop with Adam: its own trainer wants a language model. The steps are those of that trainer."""
    _prepared(task)
    import torch
    from sparsify import SparseCoder, SparseCoderConfig

    tokens, mean, batches = _in_memory(task)
    coder = SparseCoder(tokens.shape[1], SparseCoderConfig(expansion_factor=task["expansion"], k=task["k"]))
    coder.b_dec.data = mean.clone()
    coder = coder.to(task["device"])
    adam = torch.optim.Adam(coder.parameters(), lr=task["learning_rate"])

    def train() -> None:
        for x in batches:
            coder.set_decoder_norm_to_unit_norm()
            coder(x).fvu.backward()
            coder.remove_gradient_parallel_to_decoder_directions()
            adam.step()
            adam.zero_grad()

    _, spent = _timed(train)
    coder.save_to_disk(out)
    return spent


def saelens(task: dict[str, Any], out: str) -> dict[str, Any]:
    """Its TopKTrainingSAE and SAETrainer as they come."""
    _prepared(task)
    from sae_lens import SAETrainer, TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig

    tokens, mean, batches = _in_memory(task)
    dim = tokens.shape[1]
    sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=dim, d_sae=task["expansion"] * dim, k=task["k"]))
    sae.b_dec.data = mean.clone()
    config = SAETrainerConfig(
        total_training_samples=round(task["epochs"] * len(tokens)),
        train_batch_size_samples=task["batch"],
        lr=task["learning_rate"],
        lr_end=task["learning_rate"],
    )
    trained, spent = _timed(SAETrainer(cfg=config, sae=sae, data_provider=batches).fit)
    trained.save_inference_model(out)
    return spent


# Name → trainer, package that it needs. SAELens runs on the CPU alone here.
TRAINERS: dict[str, tuple[Callable[..., dict[str, Any]], str | None]] = {
    "histoweave": (histoweave, None),
    "dense PyTorch loop": (dense, None),
    "sparsify SparseCoder": (sparsify, "eai-sparsify"),
    "SAELens SAETrainer": (saelens, "sae-lens"),
}


def evaluate(task: dict[str, Any], folder: str) -> dict[str, Any]:
    """On held-out tokens: share of the variance around their mean vector, L0, dead latents; true directions found."""
    _prepared(task)
    import h5py
    import numpy as np
    import torch

    from histoweave.sae.format import load

    sae = load(folder)
    with h5py.File(task["held"]) as file:
        tokens = torch.from_numpy(file["tokens"][:])
    error, active = 0.0, torch.zeros(sae.n_latents)
    for x in tokens.split(2048):
        f = sae.encode(x)
        error += (x - sae.decode(f)).square().sum(dtype=torch.float64).item()
        active += (f > 0).sum(dim=0)
    variance = (tokens - tokens.mean(dim=0)).square().sum(dtype=torch.float64).item()
    directions = torch.from_numpy(np.load(task["directions"]))
    cosine = (directions @ torch.nn.functional.normalize(sae.w_dec, dim=1).T).max(dim=1).values
    return {
        "explained_variance": 1 - error / variance,
        "l0": active.sum().item() / len(tokens),
        "dead_share": (active == 0).double().mean().item(),
        "recovered_share": (cosine > 0.9).double().mean().item(),
    }
