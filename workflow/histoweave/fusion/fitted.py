"""A fitted model: its weights, its transforms, and the folder that holds both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from histoweave import __version__
from histoweave.config import Fusion
from histoweave.fusion import catalog
from histoweave.fusion.models import build
from histoweave.fusion.models.base import Shape
from histoweave.fusion.patients import Batcher, PatientSet
from histoweave.fusion.transforms import Transforms, read_transforms, write_transforms
from histoweave.io import atomic_path, read_json, write_json


@dataclass(frozen=True)
class FittedModel:
    """A model that can predict.

    Attributes
    ----------
    info : its entry of the catalog.
    classes : names, in the order of the probabilities; the positive class last.
    """

    info: catalog.ModelInfo
    classes: tuple[str, ...]
    settings: Fusion
    transforms: Transforms
    module: nn.Module
    device: str

    def batcher(self, patients: PatientSet) -> Batcher:
        """The patients after this model's transforms."""
        return Batcher(patients, self.transforms)

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
            output = self.module(*batcher.batch([image], [expression]).to(self.device))
            probabilities.append(output.logits[0].double().softmax(-1).cpu().numpy())
            attention = None
            if output.tile_attention is not None and batcher.has_image(image):
                attention = output.tile_attention[0].double().cpu().numpy()
            attentions.append(attention)
        return np.array(probabilities).reshape(-1, len(self.classes)), attentions

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
        write_json(folder / "config.json", own | record)


def load_fold(folder: str | Path, *, device: str = "cpu") -> FittedModel:
    """The fitted model of a folder `fusion/<model>/fold<k>/`, ready to predict; needs nothing outside the folder."""
    folder = Path(folder)
    config = read_json(folder / "config.json")
    settings, classes = Fusion.model_validate(config["settings"]), tuple(config["classes"])
    transforms = read_transforms(folder / "transforms.parquet")
    module = build(config["model"], Shape.of(transforms, n_classes=len(classes)), settings)
    module.load_state_dict(load_file(folder / "model.safetensors"))
    return FittedModel(catalog.get(config["model"]), classes, settings, transforms, module, device)
