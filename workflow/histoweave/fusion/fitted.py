"""A fitted model: its weights, its transforms, and the folder that holds both."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import torch
from safetensors.torch import save_file
from torch import nn

from histoweave import __version__
from histoweave.errors import InputError, short
from histoweave.fusion import catalog
from histoweave.fusion.batcher import Batcher
from histoweave.fusion.models import build, file_of
from histoweave.fusion.models.base import Shape, two_steps
from histoweave.fusion.patients import PatientSet
from histoweave.fusion.transforms import Transforms, read_transforms, write_transforms
from histoweave.settings.fusion import Fusion
from histoweave.storage.files import atomic_path, write_json
from histoweave.storage.strict_json import read_object
from histoweave.storage.tensors import not_finite, read_tensors

_MEND = "copy the folder again, or fit the model again"
_MAX_MEMBERSHIP = 1 << 28  # gene groups × genes


@dataclass(frozen=True)
class FittedModel:
    """A model that can predict.

    Attributes
    ----------
    info : its entry of the catalog.
    classes : names, in the order of the probabilities; the positive class last.
    before_refit : of a model that is fitted to the validation patients too in the end, the weights before that (None of
        a model that is not, and of one that was read from its folder).
    record : what `config.json` says of the fit besides; empty of one that was read from its folder.
    """

    info: catalog.ModelInfo
    classes: tuple[str, ...]
    settings: Fusion
    transforms: Transforms
    module: nn.Module
    device: str
    before_refit: nn.Module | None = None
    record: dict[str, Any] = field(default_factory=dict)

    def unseen_by_validation(self) -> FittedModel:
        """The model whose weights saw no label of a validation patient: this one, or the one before its last fit."""
        return self if self.before_refit is None else replace(self, module=self.before_refit, before_refit=None)

    def batcher(self, patients: PatientSet) -> Batcher:
        """The patients after this model's transforms."""
        return Batcher(patients, self.transforms, pooled=self.info.pooled, device=self.device)

    @torch.inference_mode()
    def predict(
        self, batcher: Batcher, *, image_of: list[str], expression_of: list[str]
    ) -> tuple[np.ndarray, list[np.ndarray | None]]:
        """Probabilities from the image of one patient and the expression of (normally) the same.

        One case at a time: a prediction depends on no other patient, and memory on the largest bag alone.

        Returns
        -------
        probabilities (n,C) float64, and for each case the tile attention (N,) float64, or None.
        """
        self.module.to(self.device).eval()
        probabilities, attentions = [], []
        for image, expression in zip(image_of, expression_of, strict=True):
            output = self.module(*batcher.batch([image], [expression]))
            probabilities.append(output.logits[0].double().softmax(-1).cpu().numpy())
            attention = None
            if output.tile_attention is not None and batcher.has_image(image):
                attention = output.tile_attention[0].double().cpu().numpy()
            attentions.append(attention)
        return np.array(probabilities).reshape(-1, len(self.classes)), attentions

    @torch.inference_mode()
    def exchange(self, batcher: Batcher, pairs: list[tuple[str, str]]) -> np.ndarray:
        """Probabilities (n,C) float64 from the image of one patient and the expression of another, for each pair of ids.

        What follows from an image alone is computed once for all its partners. Projected tiles are those of the fixed sample.
        """
        self.module.to(self.device).eval()
        network, found = two_steps(self.module), dict[tuple[str, str], np.ndarray]()
        for image in dict.fromkeys(image for image, _ in pairs):
            partners = [expression for other, expression in pairs if other == image]
            own = batcher.batch([image], partners[:1], sample=True)
            seen = network.see(own.tiles, own.tile_mask, own.has_image)
            for expression in partners:  # one at a time: the same digits as without an exchange
                logits = network.answer(seen, own.tile_mask, own.has_image, *batcher.expression([expression])).logits
                found[image, expression] = logits[0].double().softmax(-1).cpu().numpy()
        return np.array([found[pair] for pair in pairs]).reshape(-1, len(self.classes))

    def save(self, folder: Path, *, record: dict[str, Any]) -> None:
        """Write `model.safetensors`, `transforms.parquet` and `config.json`; `record` is added to the last."""
        weights = {name: tensor.cpu().contiguous() for name, tensor in self.module.state_dict().items()}
        with atomic_path(folder / "model.safetensors") as temporary:
            save_file(weights, temporary)
        write_transforms(folder / "transforms.parquet", self.transforms)
        own = {
            "model": self.info.name,
            "classes": list(self.classes),
            "settings": self.settings.model_dump(mode="json"),
            "version": __version__,
        }
        write_json(folder / "config.json", own | record | self.record)


def load_fold(folder: str | Path, *, device: str = "cpu") -> FittedModel:
    """The fitted model of a folder `fusion/<model>/fold<k>/`, ready to predict; needs nothing outside the folder.

    Raises
    ------
    InputError
        naming the file, if one is missing or damaged, if they do not belong together, or a weight is NaN or infinite.
    """
    folder = Path(folder)
    name, classes, settings = _read_config(folder / "config.json")
    transforms = read_transforms(folder / "transforms.parquet", ranks=settings.expression_transform == "ranks")
    info = catalog.get(name)
    _check_transforms(folder / "transforms.parquet", info, transforms)
    path = folder / "model.safetensors"
    weights = read_tensors(path, mend=_MEND)
    shape = Shape.of(transforms, n_classes=len(classes))
    if (max(shape.gene_tokens) + 1) * len(shape.gene_tokens) > _MAX_MEMBERSHIP:
        raise InputError(f"{path.with_name('transforms.parquet')}: has more groups of genes than can be read; {_MEND}")
    try:
        with torch.device("meta"):  # sizes alone: nothing is set aside for what the file does not hold
            wanted = build(name, shape, settings).state_dict()
    except RuntimeError as error:  # sizes that no machine can hold
        raise InputError(f"{path.with_name('config.json')}: {str(error).splitlines()[0]:.200}; {_MEND}") from None
    _check_weights(path, weights, wanted)
    module = build(name, shape, settings)
    if check := getattr(file_of(name), "check_weights", None):
        try:
            check(weights, shape)
        except ValueError as error:
            raise InputError(f"{path}: {error}; {_MEND}") from None
    module.load_state_dict(weights)
    return FittedModel(info, classes, settings, transforms, module, device)


def _read_config(path: Path) -> tuple[str, tuple[str, ...], Fusion]:
    """Model, classes and settings of `config.json`."""
    config = read_object(path, mend=_MEND)
    name, classes = config.get("model"), config.get("classes")
    if not isinstance(name, str) or name not in catalog.names():
        raise InputError(f"{path}: model {short(name)} is not known here; use the version of histoweave that fitted it")
    texts = isinstance(classes, list) and all(isinstance(label, str) and label for label in classes)
    if not isinstance(classes, list) or not texts or len(set(classes)) != len(classes) or len(classes) < 2:
        raise InputError(f"{path}: classes {classes!r:.60} are not two or more different names; {_MEND}")
    try:
        settings = Fusion.model_validate(config.get("settings"))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("settings", *first["loc"])))
        raise InputError(f"{path}: {where}: {first['msg']}; {_MEND}") from None
    if settings.width % settings.heads:
        raise InputError(f"{path}: settings.heads {settings.heads} does not divide width {settings.width}; {_MEND}")
    return name, tuple(classes), settings


def _check_transforms(path: Path, info: catalog.ModelInfo, transforms: Transforms) -> None:
    """Of the modalities that the model reads and no other; a model that tolerates a missing one may have been fitted
    without it. Networks need the groups of the genes."""
    parts = {catalog.IMAGE: transforms.image, catalog.EXPRESSION: transforms.expression}
    has = {modality for modality, part in parts.items() if part is not None}
    wanted = has == info.modalities or (info.tolerates_missing and has and has < info.modalities)
    networks = [
        one for one in (info, *map(catalog.get, info.needs)) if one.neural and catalog.EXPRESSION in one.modalities
    ]
    grouped = transforms.expression is None or not networks or transforms.expression.tokens.min() >= 0
    if not (wanted and grouped):
        raise InputError(f"{path}: are not the transforms of a model '{info.name}'; {_MEND}")


def _check_weights(path: Path, weights: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    if odd := sorted(set(weights) ^ set(wanted)):
        what = "is not one of the model" if odd[0] in weights else "is missing"
        raise InputError(f"{path}: tensor '{odd[0]:.80}' {what}; {_MEND}")
    for name, value in weights.items():
        form = wanted[name]
        if (value.shape, value.dtype) != (form.shape, form.dtype):
            raise InputError(
                f"{path}: '{name}' has shape {tuple(value.shape)} and type {value.dtype} where {tuple(form.shape)} and "
                f"{form.dtype} are needed; {_MEND}"
            )
    # A class that no training patient had is ruled out by a bias of minus infinity.
    biases = {"bias", "products.bias"} & set(weights)
    ruled_out = {name: weights[name].nan_to_num(nan=torch.nan, neginf=0.0) for name in biases}
    if (odd_one := not_finite(weights | ruled_out)) is not None:
        raise InputError(f"{path}: '{odd_one}' holds NaN or infinity, so this fold could not vote; {_MEND}")
