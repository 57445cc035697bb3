"""Tokens per second of the sparse autoencoder's trainer beside other trainers, on the same tokens, in one run.

    python benchmarks/sae.py [--batch 4096] [--tokens 200000] [--json FILE]
    python benchmarks/sae.py --memory [--json FILE]

Every trainer sees every token of the training part once per epoch, with the same learning rate, constant. The others
get all tokens in memory and share one random order; ours reads the file in an order of its own. Nothing is tuned for the others.
Where another trainer is not installed, that is said and the exit status is 1. --memory: peak memory of training from
a file, and from one ten times as large.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import statistics
import tempfile
from pathlib import Path
from typing import Any

from common import alone, machine, show
from sae_trainers import HELD_OUT, TRAINERS, evaluate, histoweave, make_tokens, repeat_tokens

ON_CPU_ALONE = "SAELens SAETrainer"
SEPARATE = {"TQDM_DISABLE": "1", "SPARSIFY_DISABLE_TRITON": "1", "HF_HUB_OFFLINE": "1"}


def installed(package: str | None) -> bool:
    try:
        return package is None or bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


def compare(options: argparse.Namespace, folder: Path) -> int:
    about = machine()
    alone(make_tokens, folder, options.tokens, options.dim, 4 * options.dim)
    names = ("batch", "epochs", "expansion", "k", "learning_rate", "threads", "device")
    task = {name: getattr(options, name) for name in names}
    task |= {name: str(folder / f"{name}.h5") for name in ("train", "held")}
    task["directions"] = str(folder / "directions.npy")
    n_seen = round(options.epochs * (options.tokens - round(HELD_OUT * options.tokens)))
    figures: dict[str, Any] = {}
    trainers = {
        name: package for name, (_, package) in TRAINERS.items() if options.device == "cpu" or name != ON_CPU_ALONE
    }
    absent = [name for name, package in trainers.items() if not installed(package)]
    order = [name for name in trainers if name not in absent]
    for name in [*order, "histoweave"]:  # ours before and after the others
        out = str(folder / name.replace(" ", "-"))
        spent = alone(TRAINERS[name][0], task, out, **SEPARATE)
        if name in figures:
            spent = {key: statistics.mean([value, figures[name][key]]) for key, value in spent.items()}
        found = alone(evaluate, task, out)
        del found["peak_mb"]
        figures[name] = found | spent | {"tokens_per_s": n_seen / spent["seconds"]}
    ours = figures["histoweave"]
    for name in order:
        for key in ("seconds", "cpu_seconds"):
            figures[name][f"{key}_over_histoweave"] = figures[name][key] / ours[key]
    versions = [
        f"{package} {importlib.metadata.version(package)}"
        for package in trainers.values()
        if package and installed(package)
    ]
    rows = [
        *about.items(),
        ("compared", ", ".join(versions) or "nothing installed"),
        (
            "tokens",
            f"{n_seen} of {options.dim} values from {4 * options.dim} directions, {options.epochs:g} epochs in batches of "
            f"{options.batch}; {options.expansion * options.dim} latents, k {options.k}",
        ),
        (
            "alike",
            f"learning rate {options.learning_rate:g}, constant; {options.threads} threads; decoder bias of all others set "
            "to the mean of the tokens, as ours is; all else as each package has it",
        ),
        *((name, _line(figures[name])) for name in order),
        *((name, "NOT MEASURED: not installed (pip install histoweave[sae])") for name in absent),
    ]
    show("sparse autoencoder", rows, figures | {"absent": absent, "machine": about}, options.json)
    return 1 if absent else 0


def _line(found: dict[str, float]) -> str:
    return (
        f"{found['seconds']:.1f} s, {found['cpu_seconds']:.1f} s of CPU, {found['tokens_per_s']:.0f} tokens/s; "
        f"{found['seconds_over_histoweave']:.2f} x (CPU {found['cpu_seconds_over_histoweave']:.2f} x) histoweave's time; "
        f"held out: explained variance {found['explained_variance']:.3f}, L0 {found['l0']:.1f}, "
        f"dead {found['dead_share']:.2%}, directions found {found['recovered_share']:.1%}; {found['peak_mb']:.0f} MB"
    )


def memory(options: argparse.Namespace, folder: Path) -> int:
    about = machine()
    alone(make_tokens, folder, options.tokens, options.dim, 4 * options.dim)
    # A small dictionary and one pass: what is asked is how much of the file is held.
    task = {"batch": 4096, "epochs": 1.0, "expansion": 2, "k": 32, "learning_rate": 1e-3, "threads": options.threads}
    task["device"] = options.device
    figures: dict[str, Any] = {}
    for times in (1, 10):
        path = folder / f"{times}.h5"
        alone(repeat_tokens, folder / "train.h5", path, times)
        spent = alone(histoweave, task | {"train": str(path)}, str(folder / "sae"), **SEPARATE)
        figures[f"{times}x"] = spent | {"file_mb": path.stat().st_size / 2**20}
    growth = figures["10x"]["peak_mb"] - figures["1x"]["peak_mb"]
    rows = [
        *about.items(),
        *(
            (f"file of {f['file_mb']:.0f} MB", f"peak {f['peak_mb']:.0f} MB, {f['seconds']:.0f} s")
            for f in figures.values()
        ),
        ("growth", f"{growth:.0f} MB"),
    ]
    show("sparse autoencoder, memory", rows, figures | {"growth_mb": growth, "machine": about}, options.json)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=200_000, help="of which a tenth is held out")
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--expansion", type=int, default=8, help="latents per value of a token")
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--memory", action="store_true", help="measure the peak memory instead")
    parser.add_argument("--json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return (memory if options.memory else compare)(options, Path(folder))


if __name__ == "__main__":
    raise SystemExit(main())
