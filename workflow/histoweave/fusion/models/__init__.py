"""The models, one file each: how one is built, and, of a model that is not trained in epochs, how it is fitted.

A file `<name>.py` belongs to the entry of that name in `histoweave.fusion.catalog`. It has

- `build(shape, settings)`: a torch module at random initialisation (torch's global generator). Its `forward(tiles, tile_mask,
  genes, has_image, has_expression)` takes the fields of a `base.Batch` and returns an `base.Output`;
- `fit(task)`, unless the entry says `neural`: takes a `histoweave.fusion.task.Task` and returns its `Fit`;
- `combine(parts)`, of a model that is made of others: the same from their predictions;
- `check_weights(weights, shape)`, where there is something to check: ValueError for weights that cannot be used.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from histoweave.fusion import catalog
from histoweave.fusion.models.base import Shape
from histoweave.settings.fusion import Fusion


def build(name: str, shape: Shape, settings: Fusion) -> Any:
    """A model of the catalog at random initialisation."""
    return needed(name, "build")(shape, settings)


def needed(name: str, function: str) -> Callable[..., Any]:
    """A function of a model's file.

    Raises
    ------
    ValueError
        if the file has none of that name.
    """
    file = file_of(name)
    if not hasattr(file, function):
        raise ValueError(
            f"model '{name}': {file.__name__} has no function `{function}`; write one (docs/extend.md says what it takes)"
        )
    return getattr(file, function)


def file_of(name: str) -> ModuleType:
    """The module of a model of the catalog."""
    return import_module(catalog.get(name).module)
