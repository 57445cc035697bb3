"""The cell arm's part of the configuration: pictures of cells, their tokens, the sparse autoencoder, its concepts."""

from __future__ import annotations

from typing import Any, Literal

import pydantic
from pydantic import Field

from histoweave.section import Encoder, Section, Share

Variant = Literal["standard", "topk", "batchtopk", "matryoshka"]

# CytoSAE (Dasdelen et al., MICCAI 2025, arXiv 2507.12464), as its released code trains it: batches of 64 images of
# 257 tokens, 24 passes over its 41,906 images, no decay and no auxiliary loss.
CYTOSAE = {
    "variant": "standard", "expansion": 64, "l1": 8e-5, "learning_rate": 4e-4, "warmup_steps": 500, "decay_share": 0.0,
    "batch_tokens": 64 * 257, "epochs": 24.0, "aux_weight": 0.0,
}  # fmt: skip


class SimulateCells(Section):
    """Cells drawn by the workflow itself from the attributes in their table. Only for the demo and for tests."""

    seed: int = 7
    laboratory: Literal["a", "b"] = Field("a", description="Whose stain, background and camera the pictures have.")


class CellInput(Section):
    """Where a cohort's cells lie. A plain string in the config is short for `table`."""

    table: str | None = Field(None, description="Table with `cell`, `path`, and what config/README.md lists.")
    embeddings: str | None = Field(
        None, description="Folder of embeddings made elsewhere, in place of a table: <patient>.h5 with `features`."
    )
    crop: float = Field(
        1.0, gt=0, le=1, description="Share of a picture's edge that is kept around its centre, to match scales."
    )
    attributes: list[str] = Field([], description="Columns of the table that concepts are compared with.")
    label_map: dict[str, str | None] = Field(
        {}, description="Renames or merges labels of cells, such as to those of another laboratory; null drops them."
    )
    simulate: SimulateCells | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"table": value} if isinstance(value, str) else value


class Cells(Section):
    """From the picture of a cell to tokens."""

    encoder: Encoder = Encoder(name="dinobloom_b")
    block: int = Field(-2, description="Block whose output is taken, from the end if negative; CNN: feature map.")
    final_norm: bool = Field(False, description="Take the output after the network's last norm (CNN: its head).")
    precision: Literal["float32", "float16"] = Field("float16", description="Number format of the stored tokens.")


class Sae(Section):
    """The sparse autoencoder."""

    source: Literal["cells", "tiles"] = Field("cells", description="What its tokens are: of cells, or tile features.")
    preset: Literal["cytosae"] | None = Field(None, description="Defaults of a published recipe.")
    variant: Variant = "topk"
    expansion: int = Field(8, ge=1, le=256, description="Latents per dimension of a token.")
    k: int = Field(
        32, ge=1, description="Latents that are active per token (topk), on average (batchtopk, matryoshka)."
    )
    l1: float = Field(8e-5, ge=0, description="Weight of the L1 penalty (standard).")
    epochs: float = Field(10.0, gt=0, description="Passes over the tokens.")
    batch_tokens: int = Field(1024, ge=1, description="Tokens per optimisation step.")
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(100, ge=0, description="Steps until the full learning rate; at most a tenth of all.")
    decay_share: Share = Field(
        0.2, description="Share of the steps, at the end, in which the learning rate falls to 0."
    )
    aux_weight: float = Field(1 / 32, ge=0, description="Weight of the loss that revives dead latents (AuxK).")
    dead_after_tokens: int | None = Field(
        None,
        ge=1,
        description="A latent is dead after so many tokens without it; null: one pass, at most 10 million.",
    )
    seeds: int = Field(3, ge=1, le=20, description="Dictionaries from different seeds; the first gives the concepts.")
    scoring: Literal["fold", "global"] = Field(
        "fold", description="fold: what is scored was encoded by a dictionary fitted without it; global: one for all."
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("preset") == "cytosae":
            return {**CYTOSAE, **value}
        return value


class Concepts(Section):
    """What is said of the latents, and who may leave some out."""

    token_threshold: float = Field(0.2, ge=0, description="Activation above which a token counts as showing a concept.")
    dead_below: float = Field(
        1e-3, ge=0, description="A latent whose mean activation where it fires is lower is dead too."
    )
    top_images: int = Field(10, ge=2, le=100, description="Images that are kept per concept.")
    pooling: Literal["mean", "max", "count"] = Field("mean", description="From tokens to an image, for classification.")
    gallery: int = Field(200, ge=1, description="Concepts in the gallery.")
    review: str | None = Field(None, description="CSV that the gallery saved: names, accepted, rejected.")
    leave_out_rejected: bool = Field(False, description="Classify without rejected concepts (sae.scoring: global).")
