"""Logistic regression on components of the image, of RNA, and on the products of each of the one with each of the other.

A label that needs both modalities at once (an interaction) shows in the products, and the fit is convex: it does not depend
on a start. It finds in a few dozen patients what a network cannot learn there. The components keep their variance (one
common scale): with a scale of their own, the directions of noise would count as much as those that differ between patients.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from histoweave.fusion.layers import masked_mean, normal
from histoweave.fusion.models.base import Output, Shape
from histoweave.fusion.models.linear import Linear, fit_logistic
from histoweave.settings.fusion import Fusion

COMPONENTS = 16


class Components(nn.Module):
    """Principal components of some values over the training patients, scaled by one number to unit mean variance.

    Fewer patients than components leave components of zeros.
    """

    mean: Tensor
    loadings: Tensor

    def __init__(self, n_values: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_values))
        self.register_buffer("loadings", normal(n_values, min(COMPONENTS, n_values)))

    def fit(self, values: np.ndarray) -> None:
        """Fit on the values (n,K) of n ≥ 2 training patients."""
        from sklearn.decomposition import PCA

        values = values.astype(np.float64)
        with np.errstate(invalid="ignore"):  # shares of a variance of 0, which nobody reads
            pca = PCA(min(self.loadings.shape[1], len(values) - 1), svd_solver="full").fit(values)
        variance = pca.explained_variance_.mean()
        loadings = pca.components_.T / np.sqrt(variance if variance > 1e-12 else 1.0)
        with torch.no_grad():
            self.mean.copy_(torch.from_numpy(pca.mean_))
            self.loadings.zero_()[:, : loadings.shape[1]] = torch.from_numpy(loadings)

    def forward(self, values: Tensor) -> Tensor:
        """(B,K) to (B,components)."""
        return (values - self.mean) @ self.loadings


class Products(Linear):
    """Logits linear in the components of a patient's mean tile, the components of the genes, and their products."""

    def __init__(self, shape: Shape, settings: Fusion):
        n_tile, n_gene = (min(COMPONENTS, width) for width in (shape.tile_width, len(shape.gene_tokens)))
        super().__init__(n_tile + n_gene + n_tile * n_gene, shape.n_classes)
        self.of_tiles = Components(shape.tile_width)
        self.of_genes = Components(len(shape.gene_tokens))

    def terms(self, mean_tiles: Tensor, genes: Tensor) -> Tensor:
        """Mean tiles (B,k) and genes (B,G) to what the logits are linear in, (B,T+S+T·S)."""
        tile, gene = self.of_tiles(mean_tiles), self.of_genes(genes)
        n = max(len(tile), len(gene))
        tile, gene = tile.expand(n, -1), gene.expand(n, -1)
        return torch.cat([tile, gene, (tile.unsqueeze(2) * gene.unsqueeze(1)).flatten(1)], dim=1)

    def forward(
        self, tiles: Tensor, tile_mask: Tensor, genes: Tensor, has_image: Tensor, has_expression: Tensor
    ) -> Output:
        return Output(self.terms(masked_mean(tiles, tile_mask), genes) @ self.weight.T + self.bias)


def fit_products(
    module: Products,
    before_refit: Products,
    *,
    train: tuple[np.ndarray, np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Components from the training patients; then as `fit_logistic`.

    train, val : mean tiles (n,k) float32, genes (n,G) float32, and label codes (n,).
    """
    for part in (module, before_refit):
        part.of_tiles.fit(train[0])
        part.of_genes.fit(train[1])
    with torch.no_grad():
        (train_terms, val_terms) = (
            module.terms(torch.from_numpy(tiles), torch.from_numpy(genes)).double().numpy()
            for tiles, genes, _ in (train, val)
        )
    fit_logistic(module, before_refit, train=(train_terms, train[2]), val=(val_terms, val[2]))
