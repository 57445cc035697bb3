"""How many genes, gene tokens and image components a model gets where the configuration says `auto`.

A network that is too large for a few dozen patients learns their noise. Measured on simulated cohorts of 72 patients whose
label needs an interaction of image and RNA: without the products of `models.joint`, concatenation reaches an AUROC of 0.66 with
the smallest size below and 0.49 with the largest, where a perfect reader would reach 0.97. Linear references choose a penalty
on validation patients instead, so they keep the largest size.
"""

from __future__ import annotations

from histoweave.fusion.catalog import ModelInfo
from histoweave.settings.fusion import Fusion

AUTO = "auto"
LARGEST = {"n_genes": 1000, "gene_tokens": 16, "image_components": 64}
# Fewer training patients than this: sizes of the networks.
SMALLER = (
    (100, {"n_genes": 200, "gene_tokens": 8, "image_components": 8}),
    (250, {"n_genes": 400, "gene_tokens": 12, "image_components": 16}),
)


def resolved(settings: Fusion, info: ModelInfo, *, n_train: int) -> Fusion:
    """The settings with a number (or None, for no PCA) in place of each `auto`.

    Parameters
    ----------
    n_train : training patients of the fold that the model can be fitted on.
    """
    sizes = next((sizes for below, sizes in SMALLER if n_train < below), LARGEST) if info.neural else LARGEST
    return settings.model_copy(update={key: size for key, size in sizes.items() if getattr(settings, key) == AUTO})


def image_components(settings: Fusion, *, n_train: int) -> int | None:
    """Principal components of the tile features of a fold with so many training patients with an image; None for no PCA.

    One number for all networks of the fold, which share the projected tiles.
    """
    if not isinstance(settings.image_components, str):
        return settings.image_components
    return next((sizes for below, sizes in SMALLER if n_train < below), LARGEST)["image_components"]
