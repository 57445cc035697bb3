"""Encoders from outside the checkout: a Python file of the user with a function `encoder` (docs/extend.md).

`python -m histoweave.encoders.plugin FILE` tries one tile, and prints nothing if all is well.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from histoweave.errors import InputError
from histoweave.storage.given_files import objection_to

FUNCTION = "encoder"
# What the function returns, as a mapping.
KEYS = ("module", "dim", "input_px", "mean", "std", "licence")
_PATIENCE_S = 600.0


def read_plugin(path: str | os.PathLike) -> dict[str, Any]:
    """Run a plugin's function and check what it returns, on one tile too.

    Returns
    -------
    `module` (torch, in evaluation mode, without gradients), `dim` and `input_px` (int), `mean` and `std` (three floats, of
    RGB in 0 to 1), `licence` (str), `sha256` (of the file's bytes).

    Raises
    ------
    InputError
        one line that names the file, what is wrong and what the function has to return.
    """
    import torch

    path = Path(path)
    if against := objection_to(path):
        raise InputError(f"encoder.plugin '{path}' {against}")
    given = _checked(_run(path), path)
    module = given["module"].eval().requires_grad_(False)
    tile = torch.zeros(1, 3, given["input_px"], given["input_px"])
    try:
        with torch.inference_mode():
            features = module(tile)
    except Exception as error:  # the user's own code
        raise InputError(f"encoder.plugin '{path}': its module fails on a tile: {_words(error)}; fix it") from None
    expected = (1, given["dim"])
    if not isinstance(features, torch.Tensor) or tuple(features.shape) != expected:
        found = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
        raise InputError(
            f"encoder.plugin '{path}': a tile gives {found}, not {expected}; set 'dim', or pool the output"
        )
    if not torch.isfinite(features).all():
        raise InputError(f"encoder.plugin '{path}': a tile gives NaN or infinity; check the weights")
    return given | {"module": module, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _run(path: Path) -> Any:
    name = f"histoweave_plugin_{hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"encoder.plugin '{path}' is not a Python file; give a file that ends with .py")
    plugin = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(plugin)
        function = getattr(plugin, FUNCTION, None)
        if not callable(function):
            raise InputError(f"encoder.plugin '{path}' has no function '{FUNCTION}'; write one that returns {_form()}")
        return function()
    except InputError:
        raise
    except Exception as error:  # the user's own code
        raise InputError(f"encoder.plugin '{path}' fails: {_words(error)}; fix it") from None


def _checked(given: Any, path: Path) -> dict[str, Any]:
    import torch

    if not isinstance(given, Mapping) or set(given) != set(KEYS):
        raise InputError(f"encoder.plugin '{path}': '{FUNCTION}' has to return {_form()}, and nothing else")
    found = dict(given)
    wrong = ""
    if not isinstance(found["module"], torch.nn.Module):
        wrong = "'module' is not a torch module"
    for key in ("dim", "input_px"):
        if not isinstance(found[key], int) or isinstance(found[key], bool) or found[key] < 1:
            wrong = wrong or f"'{key}' is not a whole number above 0"
    for key in ("mean", "std"):
        try:
            found[key] = tuple(float(value) for value in found[key])
        except (TypeError, ValueError):
            found[key] = ()
        if len(found[key]) != 3 or (key == "std" and min(found[key]) <= 0):
            wrong = wrong or f"'{key}' is not three numbers, of red, green and blue in 0 to 1"
    if not isinstance(found["licence"], str) or not found["licence"].strip():
        wrong = wrong or "'licence' says nothing; name the licence of the weights"
    if wrong:
        raise InputError(f"encoder.plugin '{path}': {wrong}")
    return found


def try_plugin(path: str | os.PathLike) -> None:
    """As `read_plugin`, in a process of its own: neither the plugin nor torch is imported here.

    Raises
    ------
    InputError
        as `read_plugin`, or if the plugin ends its process or takes more than ten minutes.
    """
    library = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([library, *filter(None, [os.environ.get("PYTHONPATH")])])}
    command = [sys.executable, "-m", __name__, str(path)]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise InputError(
            f"encoder.plugin '{path}' takes more than {_PATIENCE_S / 60:.0f} minutes for one tile"
        ) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"]
        raise InputError(
            lines[-1] if lines[-1].startswith("encoder.plugin") else f"encoder.plugin '{path}': {lines[-1]}"
        )


def _form() -> str:
    return "a mapping of " + ", ".join(f"'{key}'" for key in KEYS)


def _words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


if __name__ == "__main__":
    try:
        read_plugin(sys.argv[1])
    except InputError as error:
        sys.exit(str(error))
