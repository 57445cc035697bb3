"""The configuration: science only, never the machine (threads, memory, devices are `mechanics`, and rerun nothing).

These models are the one source of defaults, of the JSON schema in `workflow/schemas/` and of the messages that a
wrong configuration gets.
"""

from __future__ import annotations

from typing import Any, Literal

import pydantic
from pydantic import Field

from histoweave.apply_config import Apply, check_apply
from histoweave.cell_config import CellInput, Cells, Concepts, Sae
from histoweave.config_errors import check_form, explain
from histoweave.decide_config import Decide
from histoweave.errors import InputError
from histoweave.explain_config import Explain
from histoweave.ids import ID
from histoweave.privacy_config import Privacy
from histoweave.section import Encoder, Section, Share, number_or_auto

OnError = Literal["continue", "stop"]
Pen = Literal["remove", "keep"]
ExportForm = Literal["anndata", "clam", "stamp"]
MAX_SEED = 2**32 - 1  # of NumPy's and scikit-learn's generators
EXPORT_SUFFIX = {"anndata": "h5ad", "clam": "h5", "stamp": "h5"}


class Simulate(Section):
    """A cohort made by the workflow itself, with a known truth. Only for the demo and for tests."""

    seed: int = Field(7, ge=0, le=MAX_SEED)
    field_um: float = Field(1008.0, gt=200, description="Edge of the square scene of a slide, in µm.")
    n_genes: int = Field(2000, ge=100, description="Genes in the simulated count matrix, the PAM50 genes included.")
    planted_share: Share = Field(0.35, description="Share of a positive slide's tissue that carries the image factor.")
    stain: Share = Field(
        0.0, description="How far the stains' colours lie from Macenko's towards those of Ruifrok and Johnston."
    )
    library_scale: float = Field(1.0, gt=0, description="Sequencing depth relative to the other simulated cohorts.")
    no_mpp: list[str] = Field([], description="Slides written without a resolution.")
    no_tissue: list[str] = Field([], description="Slides of empty glass.")
    truncated: list[str] = Field([], description="Slides whose file is cut short.")
    without_rna: list[str] = Field([], description="Patients without an RNA sample.")
    duplicate_aliquot: list[str] = Field([], description="Patients with a second RNA aliquot.")


class ExpressionInput(Section):
    """Where a cohort's RNA lies and in which unit."""

    path: str = Field(description="A matrix (.tsv, .csv, .parquet, .h5ad, gz) or a folder of GDC STAR-Counts files.")
    unit: Literal["counts", "tpm", "fpkm", "rsem", "log2"] = Field(description="Unit of the values.")
    orientation: Literal["auto", "genes_by_samples", "samples_by_genes"] = "auto"
    sample_sheet: str | None = Field(None, description="GDC sample sheet, for a folder of STAR-Counts files.")


class Cohort(Section):
    """One cohort: its tables, its RNA, its label."""

    role: Literal["train", "external"] = Field(
        "train", description="train: cross-validated on itself; external: predicted by frozen models, never fitted on."
    )
    patients: str | None = Field(
        None, description="Table with `patient`, the label column, `site` (optional), covariates."
    )
    slides: str | None = Field(None, description="Table with `slide`, `patient`, `path`, `mpp` (optional override).")
    expression: ExpressionInput | None = None
    cells: CellInput | None = Field(None, description="Pictures of single cells, or embeddings of such.")
    ids: Literal["auto", "tcga", "plain"] = Field(
        "auto", description="auto: TCGA barcode rules if every patient id is a TCGA barcode."
    )
    label: str = Field("label", description="Column of the patients table that holds the label.")
    label_map: dict[str, str | None] = Field(
        {}, description="Renames or merges label values; null drops the patients with that value."
    )
    positive: str | None = Field(None, description="Positive class of a binary label; default: the last by name.")
    simulate: Simulate | None = None

    @property
    def has_tissue(self) -> bool:
        """Whether it has slides or RNA, so that fusion models are fitted."""
        return self.slides is not None or self.expression is not None


class Tiles(Section):
    """Tissue segmentation and the tile grid."""

    tile_px: int = Field(224, ge=16, le=4096, description="Edge of a tile in px at `target_mpp`.")
    target_mpp: float = Field(0.5, ge=0.05, le=20, description="µm per px of a tile.")
    overlap_px: int = Field(0, ge=0, description="Overlap of neighbouring tiles in px at `target_mpp`.")
    mpp_tolerance: Share = Field(0.05, description="A slide this much coarser than `target_mpp` is still accepted.")
    min_tissue: Share = Field(0.5, description="Least share of tissue in a kept tile.")
    segmentation_mpp: float = Field(8.0, gt=0, description="µm per px at which tissue is looked for.")
    min_region_um2: float = Field(20000.0, ge=0, description="Smaller tissue pieces and holes are ignored.")
    pen: Pen = Field(
        "remove",
        description="What to do with the colours of marker ink: remove, right for H&E; keep, for stains that look like "
        "ink (Masson's trichrome, Alcian blue, methyl green and other blue, green or red ones).",
    )
    max_pen_share: Share = Field(
        0.5, description="A slide with more of its stained area in the colours of marker ink than this is refused."
    )
    max_failed_share: Share = Field(0.1, description="A slide with more unreadable tiles than this is refused.")


class Features(Section):
    """Tile features."""

    encoder: Encoder = Encoder()
    precision: Literal["float32", "float16"] = Field("float32", description="Number format of the stored features.")
    arithmetic: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format inside the network; auto: bfloat16 or float16 where the device has it."
    )


class Folds(Section):
    """Cross-validation over patients."""

    n_folds: int = Field(5, ge=2, le=50)
    repeats: int = Field(1, ge=1, le=100)
    group_by: Literal["auto", "patient", "site"] = Field(
        "auto",
        description="site: a site is never split over folds; auto: by site where whole sites fill the folds, else by patient.",
    )
    site_check: bool = Field(
        True,
        description="With group_by patient: also score the references and the main fusion model with whole sites left out.",
    )
    val_share: float = Field(
        0.2, gt=0, lt=0.5, description="Share of a fold's training patients kept for early stopping."
    )


class Fusion(Section):
    """Models of each fold. Everything here is fitted or used on that fold's training patients only."""

    models: list[str] = Field(
        [
            "majority", "best_gene", "top_pairs", "centroid", "logistic_expression", "logistic_image", "logistic_both",
            "image", "expression", "concat", "late_mean", "cross_attention",
        ],
        min_length=1,
    )  # fmt: skip
    n_genes: number_or_auto(1) = Field(
        "auto", description="Genes kept per fold: the most variable on train; auto: by the number of training patients."
    )
    expression_transform: Literal["log2", "ranks"] = Field(
        "log2", description="What models read of the kept genes: log2 values, or their ranks within each patient."
    )
    gene_tokens: number_or_auto(2) = Field(
        "auto", description="Number of learned gene groups (clusters of co-expressed genes); auto: as `n_genes`."
    )
    gene_sets: str | None = Field(None, description="GMT file of gene sets, in place of learned groups.")
    image_components: number_or_auto(2) | None = Field(
        "auto", description="PCA components of tile features; auto: as `n_genes`; null: no PCA."
    )
    centroids: str | None = Field(
        None,
        description="Table of centroids, genes x classes, that `centroid` uses in place of the training patients'.",
    )
    width: int = Field(64, ge=8, description="Width of the tokens.")
    heads: int = Field(4, ge=1, description="Attention heads; must divide `width`.")
    members: int = Field(
        5,
        ge=1,
        le=50,
        description="Networks per neural model and fold, from different random starts; their mean counts.",
    )
    dropout: Share = 0.4
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1.0, ge=0, description="AdamW: multiplied by the learning rate.")
    epochs: int = Field(100, ge=1)
    patience: int = Field(20, ge=1, description="Epochs without a better validation loss before training stops.")
    batch_patients: int = Field(16, ge=1, description="Patients per optimisation step.")
    max_tiles: int = Field(512, ge=1, description="Tiles drawn per patient and epoch in training; all at inference.")


class Evaluation(Section):
    """Metrics and intervals."""

    bootstrap: int = Field(
        2000, ge=1000, description="Bootstrap draws over patients, or over whole sites where folds keep them whole."
    )
    confidence: float = Field(0.95, gt=0.5, lt=1)
    permutations: int = Field(20, ge=1, description="Permutations of a modality between the patients of a test fold.")
    confounders: list[str] = Field(
        [],
        description="Columns of the patients table that may stand behind a result; site and scanner always are asked.",
    )


class Control(Section):
    """The negative control."""

    permuted_labels: bool = Field(True, description="Run folds and models once more on shuffled labels.")
    shuffles: int = Field(20, ge=20, le=1000, description="Shuffles that each model without a network is refitted on.")
    network_shuffles: int = Field(
        1, ge=0, le=100, description="Shuffles that each neural model is refitted on; 0: none."
    )


class Exports(Section):
    """What `snakemake export` writes."""

    forms: list[ExportForm] = Field(["anndata"], description="Forms of the exported files.")


class Mechanics(Section):
    """How the machine does it. Changing these reruns nothing."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    tile_batch: int = Field(32, ge=1, description="Tiles per forward pass.")
    read_workers: int = Field(2, ge=1, description="Threads that read tiles of a slide.")
    jobs_per_gpu: int = Field(1, ge=1, description="Jobs that may share one GPU of a workstation.")
    slides_per_shard: int = Field(32, ge=1, description="Slides in one job, at most about this many.")
    cells_per_shard: int = Field(4096, ge=1, description="Cells in one job and one file, at most about this many.")


class Config(Section):
    """The whole configuration of a run."""

    cohorts: dict[str, Cohort] = Field(min_length=1)
    seed: int = Field(1, ge=0, le=MAX_SEED)
    on_error: OnError = Field("continue", description="stop: a slide that cannot be used ends the run.")
    tiles: Tiles = Tiles()
    features: Features = Features()
    folds: Folds = Folds()
    fusion: Fusion = Fusion()
    evaluation: Evaluation = Evaluation()
    control: Control = Control()
    decide: Decide = Decide()
    cells: Cells = Cells()
    sae: Sae = Sae()
    concepts: Concepts = Concepts()
    explain: Explain = Explain()
    apply: Apply = Apply()
    exports: Exports = Exports()
    privacy: Privacy = Privacy()
    mechanics: Mechanics = Mechanics()


def parse_config(raw: Any, *, file: str = "config") -> Config:
    """Check a configuration and fill its defaults.

    Raises
    ------
    InputError
        one line with the file, the key, what is wrong and (for a typo) the nearest known key.
    """
    if not isinstance(raw, dict) or not raw:
        raise InputError(f"{file}: the configuration is empty; start from config/config.yaml")
    check_form(raw, file=file)
    try:
        config = Config.model_validate(raw)
    except pydantic.ValidationError as error:
        raise explain(error, Config, file=file) from None
    for name, cohort in config.cohorts.items():
        _check_cohort(name, cohort, file=file)
    _check_sae(config, file=file)
    check_apply(config.apply, config.cohorts, file=file)
    if config.fusion.width % config.fusion.heads:
        raise InputError(
            f"{file}: key 'fusion.heads' is {config.fusion.heads}, which does not divide "
            f"fusion.width {config.fusion.width}"
        )
    if config.tiles.overlap_px >= config.tiles.tile_px:
        raise InputError(
            f"{file}: key 'tiles.overlap_px' is {config.tiles.overlap_px}; it must be below tiles.tile_px "
            f"{config.tiles.tile_px}"
        )
    return config


def _check_cohort(name: str, cohort: Cohort, *, file: str) -> None:
    where = f"{file}: cohort '{name}'"
    if not ID.fullmatch(name):
        raise InputError(f"{file}: cohort name '{name}' is not a valid id; use letters, digits, '.', '_' and '-' only")
    if not cohort.has_tissue and cohort.cells is None:
        raise InputError(f"{where} has neither 'slides' nor 'expression' nor 'cells'; give at least one")
    if cohort.has_tissue and cohort.patients is None:
        raise InputError(f"{file}: key 'cohorts.{name}.patients' is missing; add it (see config/README.md)")
    if cohort.simulate and (cohort.slides is None or cohort.expression is None):
        raise InputError(f"{where} is simulated, so it needs both 'slides' and 'expression'")
    if cohort.cells:
        if (cohort.cells.table is None) == (cohort.cells.embeddings is None):
            raise InputError(
                f"{file}: key 'cohorts.{name}.cells' needs either 'table' or 'embeddings'; give one of them"
            )
        if cohort.cells.embeddings and (cohort.cells.simulate or cohort.cells.attributes or cohort.cells.crop != 1):
            raise InputError(
                f"{file}: key 'cohorts.{name}.cells' has embeddings made elsewhere, so 'simulate', 'attributes' and "
                "'crop' mean nothing; remove them"
            )


def _check_sae(config: Config, *, file: str) -> None:
    with_cells = {name: cohort.role for name, cohort in config.cohorts.items() if cohort.cells}
    if "external" in with_cells.values() and "train" not in with_cells.values():
        external = next(iter(with_cells))
        raise InputError(f"{file}: cohort '{external}' is external, and no cohort of cells has role: train; name one")
    if config.sae.source == "tiles" and not any(
        cohort.slides and cohort.role == "train" for cohort in config.cohorts.values()
    ):
        raise InputError(f"{file}: key 'sae.source' is 'tiles', and no cohort of role train has slides; use 'cells'")
    if config.concepts.leave_out_rejected and config.sae.scoring != "global":
        raise InputError(
            f"{file}: key 'concepts.leave_out_rejected' needs sae.scoring: global, because each fold's own dictionary "
            "has other concepts than the one that was reviewed"
        )
