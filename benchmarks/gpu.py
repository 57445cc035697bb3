"""All that needs a GPU, in one go: the tests that ask for CUDA, then features, fusion and dictionaries on it.

    python benchmarks/gpu.py [--out gpu.json]        (what `make test-gpu` does)

Needs this checkout and an environment with torch, no network: networks have random weights, cohorts are synthetic. Each step
ends after the minutes that it is given, 8 in all. Writes one JSON and one table; the exit code is 1 if a step failed. On a
machine without a GPU nothing is run, which is no failure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
TESTS = ("encoders/test_inference.py", "mechanics/test_lease.py", "fusion/test_cuda.py")
ENCODERS = ("resnet50", "timm:vit_small_patch16_224", "timm:vit_large_patch16_224")


@dataclass(frozen=True)
class Step:
    """A command and the seconds that it may take. `figures`: what the table shows of its JSON, by keys, `/` between levels."""

    name: str
    command: tuple[str, ...]
    limit_s: int
    figures: tuple[str, ...] = ()


STEPS = (
    Step("tests of CUDA", ("-m", "pytest", "-q", *(f"tests/unit/{name}" for name in TESTS)), 90),
    *(
        Step(
            f"features, {encoder}",
            ("benchmarks/features.py", "--device", "cuda", "--edge-px", "8000", "--encoder", encoder),
            60,
            ("tiles_per_s", "speedup_over_plain_loop"),
        )
        for encoder in ENCODERS
    ),
    Step(
        "fusion",
        ("benchmarks/fusion.py", "--device", "cuda", "--patients", "100", "--tiles", "5000"),
        120,
        tuple(f"models/{model}/epochs_per_s_over_loop" for model in ("image", "concat", "cross_attention")),
    ),
    Step(
        "dictionaries",
        ("benchmarks/sae.py", "--device", "cuda"),
        90,
        ("histoweave/tokens_per_s", "dense PyTorch loop/tokens_per_s", "sparsify SparseCoder/tokens_per_s"),
    ),
)


def run(step: Step, folder: Path) -> dict[str, Any]:
    """Seconds, exit code (None if it took too long), the last lines of its output, and the JSON of a benchmark."""
    place = folder / "figures.json"
    place.unlink(missing_ok=True)
    benchmark = step.command[0].startswith("benchmarks/")
    command = [sys.executable, *step.command, *(["--json", str(place)] if benchmark else [])]
    started = time.perf_counter()
    try:
        done = subprocess.run(
            command, cwd=ROOT, timeout=step.limit_s, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        code, said = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        code, said = None, late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
    figures = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else None
    return {
        "seconds": time.perf_counter() - started,
        "exit_code": code,
        "output": said.splitlines()[-40:],
        "figures": figures,
    }


def at(figures: Any, keys: str) -> Any:
    """The value under keys with `/` between them, None if there is none."""
    for key in keys.split("/"):
        figures = figures.get(key) if isinstance(figures, dict) else None
    return figures


def line(step: Step, found: dict[str, Any]) -> str:
    """One row of the table."""
    how = {0: "done", None: f"stopped after {step.limit_s} s"}.get(found["exit_code"], "FAILED")
    shown = [f"{keys.split('/')[-1]} ({keys.split('/')[-2]})" if "/" in keys else keys for keys in step.figures]
    values = [at(found["figures"], keys) for keys in step.figures]
    told = [f"{name} {value:.1f}" for name, value in zip(shown, values, strict=True) if value is not None]
    return f"{step.name:<32}  {how:<20}  {found['seconds']:6.1f} s  {', '.join(told)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="the JSON that is written")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("This machine has no GPU that torch can use: nothing was run.")
        return 0
    steps: dict[str, Any] = {}
    figures = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "steps": steps}
    print(f"{figures['gpu']}, torch {figures['torch']}")
    with tempfile.TemporaryDirectory() as folder:
        for step in STEPS:
            steps[step.name] = run(step, Path(folder))
            print(line(step, steps[step.name]), flush=True)
            # Written after each step, so that what was measured stays if the next one takes the machine down.
            options.out.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    failed = [name for name, found in steps.items() if found["exit_code"] != 0]
    for name in failed:
        print(f"\n{name}:", *steps[name]["output"], sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
