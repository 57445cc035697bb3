"""Section fusion: the models of each fold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from histoweave.settings.base import Section, Share, number_or_auto

_From1 = Annotated[Annotated[int, Field(ge=1)] | Literal["auto"], number_or_auto(1)]
_From2 = Annotated[Annotated[int, Field(ge=2)] | Literal["auto"], number_or_auto(2)]


class Fusion(Section):
    """Models of each fold. Everything here is fitted or used on that fold's training patients only."""

    models: list[str] = Field(
        [
            "majority", "best_gene", "top_pairs", "centroid", "logistic_expression", "logistic_image", "logistic_both",
            "image", "expression", "concat", "late_mean", "cross_attention",
        ],
        min_length=1,
    )  # fmt: skip
    n_genes: _From1 = Field(
        "auto", description="Most variable genes kept per fold; auto: depends on the number of training patients."
    )
    expression_transform: Literal["log2", "ranks"] = Field(
        "log2", description="Input of the models: log2 values of the kept genes, or their ranks within each patient."
    )
    gene_tokens: _From2 = Field(
        "auto", description="Number of learned gene groups (clusters of co-expressed genes); auto: as `n_genes`."
    )
    gene_sets: str | None = Field(None, description="GMT file of gene sets, instead of learned groups.")
    image_components: _From2 | None = Field(
        "auto", description="PCA components of tile features; auto: as `n_genes`; null: no PCA."
    )
    centroids: str | None = Field(
        None,
        description="Table of centroids, genes x classes, for `centroid`; null: computed from the training patients.",
    )
    width: int = Field(64, ge=8, description="Width of the tokens.")
    heads: int = Field(4, ge=1, description="Attention heads; must divide `width`.")
    members: int = Field(
        5,
        ge=1,
        le=50,
        description="Networks per neural model and fold, with different random initialisations; their mean is used.",
    )
    dropout: Share = 0.4
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1.0, ge=0, description="AdamW: multiplied by the learning rate.")
    epochs: int = Field(100, ge=1)
    patience: int = Field(
        20, ge=1, description="Epochs without improvement of the validation loss before training stops."
    )
    batch_patients: int = Field(16, ge=1, description="Patients per optimisation step.")
    max_tiles: int = Field(512, ge=1, description="Tiles drawn per patient and epoch in training; all at inference.")
