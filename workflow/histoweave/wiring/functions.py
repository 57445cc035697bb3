"""Functions that rules are written with, in place of lambdas: of wildcards, of memory and of time."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from snakemake.io import temp

from histoweave.fusion import catalog
from histoweave.wiring.fingerprint import code_hash

_MAPPED = frozenset({"projected", "other_projected"})


def by_wildcards(function: Callable[..., Any], *names: str) -> Callable[[Any], Any]:
    """For `input` and `params`: `function` of a job's wildcards.

    Parameters
    ----------
    names : the wildcards, in the order of the function's arguments; default: those that are called as its arguments are.
    """
    asked = names or tuple(inspect.signature(function).parameters)
    return lambda wildcards: function(*(getattr(wildcards, name) for name in asked))


def model_code(*modules: str) -> Callable[[Any], str]:
    """For `params`: the code of `modules` and of the job's `model`, which those import by its name (`catalog.modules_of`)."""
    return by_wildcards(lambda model: code_hash(*modules, *catalog.modules_of(model)))


def kept_if(kept: bool, pattern: str) -> Any:
    """For `output`: a file that is removed once no job needs it, unless it is to be kept."""
    return pattern if kept else temp(pattern)


def memory(megabytes: int, *, per_input_mb: float = 0) -> Callable[..., int]:
    """For `mem_mb`: so much, and so much more per MB of input; as much again with each attempt."""
    if not per_input_mb:
        return lambda wildcards, attempt: megabytes * attempt
    return lambda wildcards, input, attempt: int(megabytes + per_input_mb * _read_mb(input)) * attempt


def _read_mb(files: Any) -> float:
    """Size of a job's inputs that are read as a whole; of those that are mapped only a few rows are in memory."""
    mapped_files = set()
    for name in _MAPPED & set(files.keys()):
        named = getattr(files, name)
        mapped_files |= {named} if isinstance(named, str) else set(named)
    sizes = zip(files, files.size_files, strict=True)
    return sum(size for path, size in sizes if path not in mapped_files) / 1024**2


def memory_of(name: str, needed_mb: Callable[[str], int]) -> Callable[..., int]:
    """For `mem_mb`: what `needed_mb` says of the input of that name; as much again with each attempt."""
    return lambda wildcards, input, attempt: needed_mb(input[name]) * attempt


def minutes(number: int) -> Callable[..., int]:
    """For `runtime`: so many minutes; as many again with each attempt."""
    return lambda wildcards, attempt: number * attempt
