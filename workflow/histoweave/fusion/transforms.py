"""What is fitted before the model, on a fold's training patients only: scaling, PCA, gene filter, gene groups."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from histoweave.errors import InputError
from histoweave.fusion.catalog import EXPRESSION, IMAGE
from histoweave.fusion.genes import groups_from_sets, learned_groups, read_gmt
from histoweave.fusion.ranks import standardised_ranks, within_patient_ranks
from histoweave.settings.fusion import Fusion
from histoweave.storage.files import write_table
from histoweave.storage.given_tables import Kind, read_given_table

_COLUMNS: dict[str, Kind] = {
    "modality": "text", "feature": "text", "kept": "flag", "mean": "measure", "scale": "measure", "fill": "measure",
    "group": "whole", "loadings": "numbers",
}  # fmt: skip
_MEND = "copy it again, or fit the model again"


@dataclass(frozen=True)
class ImageTransform:
    """Standardise tile features, then project them on principal components, scaled by one number to unit mean variance.

    Attributes
    ----------
    mean, scale : (D,) float64.
    loadings : (D,k) float64, or None: no PCA.
    """

    mean: np.ndarray
    scale: np.ndarray
    loadings: np.ndarray | None

    @property
    def width(self) -> int:
        """Number of values per tile after the transform."""
        return len(self.mean) if self.loadings is None else self.loadings.shape[1]

    def equals(self, other: ImageTransform) -> bool:
        """Whether both hold the same numbers."""
        one, two = self.loadings, other.loadings
        same = one is two is None or (one is not None and two is not None and np.array_equal(one, two))
        return same and np.array_equal(self.mean, other.mean) and np.array_equal(self.scale, other.scale)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(N,D) features to (N,k) float32, infinite beyond its range; ValueError if D is not the fitted one."""
        if features.shape[1] != len(self.mean):
            raise ValueError(f"has {features.shape[1]} features per tile where {len(self.mean)} are expected")
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (features - self.mean) / self.scale
            return (scaled if self.loadings is None else scaled @ self.loadings).astype(np.float32)


@dataclass(frozen=True)
class ExpressionTransform:
    """Keep the chosen genes, rank them within each patient if wanted, fill missing values, standardise.

    Attributes
    ----------
    genes : names of all genes of the table.
    kept : (A,) bool. mean, scale, fill : (A,) float64, NaN where not kept; of ranks where there are ranks.
    group : (A,) int64, the gene's token, -1 if none.
    ranks : whether values are replaced by their ranks among the patient's kept genes (`within_patient_ranks`).
    """

    genes: tuple[str, ...]
    kept: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    fill: np.ndarray
    group: np.ndarray
    ranks: bool = False

    @property
    def kept_genes(self) -> list[str]:
        """The G genes that reach a model, in table order."""
        return [gene for gene, kept in zip(self.genes, self.kept, strict=True) if kept]

    @property
    def tokens(self) -> np.ndarray:
        """(G,) int64: token of each kept gene."""
        return self.group[self.kept]

    def __call__(self, expression: pd.DataFrame) -> np.ndarray:
        """Patients × genes (log2) to (n,G) float32, infinite beyond its range; a gene that the table lacks gets the
        training median."""
        values = expression.reindex(columns=self.kept_genes).to_numpy(np.float64)
        values = within_patient_ranks(values) if self.ranks else values
        values = np.where(np.isnan(values), self.fill[self.kept], values)
        with np.errstate(over="ignore"):
            return ((values - self.mean[self.kept]) / self.scale[self.kept]).astype(np.float32)


@dataclass(frozen=True)
class Transforms:
    """The fitted transforms of a fold and model; None for a modality that the model does not read."""

    image: ImageTransform | None
    expression: ExpressionTransform | None


def _positive(scale: np.ndarray) -> np.ndarray:
    """Scales with 1 in place of (numerically) zero, so that a constant feature becomes 0."""
    return np.where(scale > 1e-12, scale, 1.0)


def fit_components(rows: np.ndarray, *, components: int | None, seed: int) -> ImageTransform:
    """Fit on rows (M,D) float64, of tiles or of patients' means; since the transform is linear, the mean of a patient's
    transformed tiles is the transform of their mean.

    components : at most as many as M - 1 and D; None for no PCA.
    """
    from sklearn.decomposition import PCA

    mean, scale = rows.mean(axis=0), _positive(rows.std(axis=0))
    if components is None:
        return ImageTransform(mean, scale, None)
    n_components = max(1, min(components, len(rows) - 1, rows.shape[1]))
    pca = PCA(n_components, random_state=seed).fit((rows - mean) / scale)
    # One common scale: components keep their relative variance, so that noise directions are not blown up.
    loadings = pca.components_.T / np.sqrt(_positive(pca.explained_variance_.mean()))
    return ImageTransform(mean, scale, np.ascontiguousarray(loadings))


def fit_expression(
    expression: pd.DataFrame,
    *,
    settings: Fusion,
    tokens: bool,
    seed: int,
    form: Literal["standardised", "centred", "raw"] = "standardised",
    wanted: Collection[str] | None = None,
) -> ExpressionTransform:
    """Fit on the training patients' rows.

    Parameters
    ----------
    expression : patients × genes, log2 values, NaN where missing.
    settings : `n_genes`, and where tokens are wanted `gene_sets` or `gene_tokens`, as numbers.
    tokens : whether gene groups are wanted.
    form : of the values that reach the model, see `catalog.ModelInfo.genes`.
    wanted : keep these genes, as far as any training patient has them, in place of the most variable ones.

    Raises
    ------
    InputError
        if no gene varies between the training patients, or for a bad GMT file.

    Notes
    -----
    Genes are chosen and grouped by their log2 values, also where their ranks are what is standardised.
    """
    values = raw = expression.to_numpy(np.float64)
    measured = ~np.isnan(values).all(axis=0)
    fill = np.full(values.shape[1], np.nan)
    fill[measured] = np.nanmedian(values[:, measured], axis=0)
    values = np.where(np.isnan(values), fill, values)
    variance = np.where(measured, values.var(axis=0), 0.0)
    if wanted is None:
        ranked = np.argsort(-variance, kind="stable")[: settings.n_genes]
        kept = np.zeros(len(variance), dtype=bool)
        kept[ranked[variance[ranked] > 1e-12]] = True
    else:
        kept = measured & expression.columns.isin(list(wanted))
    if not kept.any():
        raise InputError("expression: no gene varies between the training patients; check the RNA table")
    mean = np.where(kept, values.mean(axis=0), np.nan)
    scale = np.where(kept, np.sqrt(variance), np.nan)
    genes = tuple(map(str, expression.columns))
    group = np.full(len(genes), -1, dtype=np.int64)
    if tokens and settings.gene_sets is not None:
        names = [gene for gene, keep in zip(genes, kept, strict=True) if keep]
        group[kept] = groups_from_sets(names, read_gmt(settings.gene_sets), path=settings.gene_sets)
    elif tokens:
        profiles = ((values[:, kept] - mean[kept]) / scale[kept]).T
        assert not isinstance(settings.gene_tokens, str)
        group[kept] = learned_groups(profiles, n_groups=settings.gene_tokens, seed=seed)
    fill = np.where(kept, fill, np.nan)
    ranks = settings.expression_transform == "ranks"
    if ranks:
        mean[kept], scale[kept], fill[kept] = standardised_ranks(raw[:, kept])
    if form != "standardised":
        mean, scale = np.where(kept, fill if form == "centred" else 0.0, np.nan), np.where(kept, 1.0, np.nan)
    return ExpressionTransform(genes, kept, mean, scale, fill, group, ranks)


def write_transforms(path: str | Path, transforms: Transforms) -> None:
    """Write `transforms.parquet`: one row per image feature and per gene."""
    parts = []
    if image := transforms.image:
        n = len(image.mean)
        loadings = np.empty((n, 0)) if image.loadings is None else image.loadings
        parts.append(
            pd.DataFrame(
                {
                    "modality": IMAGE,
                    "feature": [str(i) for i in range(n)],
                    "kept": True,
                    "mean": image.mean,
                    "scale": image.scale,
                    "fill": np.nan,
                    "group": -1,
                    "loadings": list(loadings),
                }
            )
        )
    if rna := transforms.expression:
        parts.append(
            pd.DataFrame(
                {
                    "modality": EXPRESSION,
                    "feature": list(rna.genes),
                    "kept": rna.kept,
                    "mean": rna.mean,
                    "scale": rna.scale,
                    "fill": rna.fill,
                    "group": rna.group,
                    "loadings": [np.empty(0)] * len(rna.genes),
                }
            )
        )
    write_table(path, pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(_COLUMNS)))


def read_transforms(path: str | Path, *, ranks: bool) -> Transforms:
    """Read what `write_transforms` wrote, exactly. `ranks`: whether the model was fitted on ranks, as its settings say.

    Raises
    ------
    InputError
        naming the file, if it is missing or damaged, or its rows cannot be transforms.
    """
    table = read_given_table(path, _COLUMNS, mend=_MEND)
    of_image, of_expression = table["modality"] == IMAGE, table["modality"] == EXPRESSION
    try:
        _require((of_image | of_expression).all(), "a row is of no modality")
        image = _image(table[of_image]) if of_image.any() else None
        expression = _expression(table[of_expression], ranks=ranks) if of_expression.any() else None
    except ValueError as error:
        raise InputError(f"{path}: {error}; {_MEND}") from None
    return Transforms(image, expression)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _image(rows: pd.DataFrame) -> ImageTransform:
    """ValueError if the rows are not those of one feature after the other."""
    _require(rows["feature"].tolist() == [str(i) for i in range(len(rows))], "image features are not in order")
    mean, scale = rows["mean"].to_numpy(), rows["scale"].to_numpy()
    _require(np.isfinite(mean).all(), "a mean of the image features is missing")
    _require((scale > 0).all(), "a scale of the image features is not above 0")
    widths = rows["loadings"].map(len)
    _require((widths == widths.iloc[0]).all() and widths.iloc[0] <= len(rows), "loadings are not as many in each row")
    loadings = np.stack(rows["loadings"].to_list())
    _require(loadings.dtype.kind == "f" and np.isfinite(loadings).all(), "a loading is not finite")
    return ImageTransform(mean, scale, loadings if loadings.shape[1] else None)


def _expression(rows: pd.DataFrame, *, ranks: bool) -> ExpressionTransform:
    """ValueError if the rows are not those of different genes, each with all that it needs."""
    genes, kept = tuple(rows["feature"]), rows["kept"].to_numpy()
    _require("" not in genes and len(set(genes)) == len(genes), "a gene occurs twice or has no name")
    _require(kept.any(), "no gene is kept")
    mean, scale, fill, group = (rows[column].to_numpy() for column in ("mean", "scale", "fill", "group"))
    _require(np.isfinite(mean[kept]).all() and np.isfinite(fill[kept]).all(), "a mean of a kept gene is missing")
    _require((scale[kept] > 0).all(), "a scale of a kept gene is not above 0")
    tokens = np.unique(group[kept])
    _require(tokens.tolist() in ([-1], list(range(len(tokens)))), "the groups of the genes are not numbered 0, 1, …")
    return ExpressionTransform(genes, kept, mean, scale, fill, group, ranks)
