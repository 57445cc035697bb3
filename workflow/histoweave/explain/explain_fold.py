"""The explanations of one fold's test patients: the four tables of `explain/<model>/fold<k>/`."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from histoweave.explain import faithfulness, stability
from histoweave.explain.attribution import Attribution, attribute
from histoweave.fusion.batcher import Batcher
from histoweave.fusion.fitted import FittedModel, load_fold
from histoweave.fusion.patients import PatientSet
from histoweave.fusion.projected import FoldTiles
from histoweave.fusion.seeds import fold_seed
from histoweave.mechanics.repeatable import deterministic
from histoweave.settings.explain import Explain
from histoweave.storage.files import write_table

_log = logging.getLogger(__name__)
_TILES = {"patient": str, "slide": str, "x_lv0": np.int64, "y_lv0": np.int64, "attention": np.float64}
_GENES = {"patient": str, "gene": str, "value": np.float64, "token": np.int64}
# An integral that misses the completeness by more than this share of the score's change is worth a warning.
_MAX_ERROR = 0.05


def explain_fold(
    *,
    k: int,
    folder: str | Path,
    other_folder: str | Path,
    patients: pd.DataFrame,
    folds: pd.DataFrame,
    slides: pd.DataFrame,
    expression: pd.DataFrame | None,
    settings: Explain,
    seed: int,
    device: str,
    out_dir: str | Path,
    projected: Path | None = None,
    other_projected: Path | None = None,
) -> None:
    """Explain the test patients of a fold and write `tiles`, `genes`, `faithfulness` and `stability`.

    Parameters
    ----------
    k : a fold of the first repeat.
    folder, other_folder : of the fitted model of this fold, and of another fold of the same repeat. The other model has
        seen these patients in training: it is compared in how it explains them, and never scored.
    patients, folds, slides, expression : as for `fusion.fusion_fold.run_fold`.
    projected, other_projected : the projected tiles of both folds; None where the models read no image.
    """
    fitted, other = (_loaded(path, device=device) for path in (folder, other_folder))
    everyone = PatientSet.of(patients, slides=slides, expression=expression, classes=list(fitted.classes))
    own = folds[(folds["repeat"] == 0) & (folds["fold"] == k) & (folds["role"] == "test")]
    test = everyone.subset(own["patient"]).handled_by(fitted.info)
    columns = [f"a_{label}" for label in fitted.classes]
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in ("tiles", "genes", "faithfulness", "stability")}
    misses = []
    with deterministic(seed, device=device):
        here, there = (
            model.batcher(replace(test, tiles=None if path is None else FoldTiles.of(path).subset(test.ids)))
            for model, path in ((fitted, projected), (other, other_projected))
        )
        for patient in test.ids:
            batch = here.batch([patient], [patient])
            found = attribute(fitted, batch, steps=settings.steps)
            called = int(found.score.argmax())
            by_other = attribute(other, there.batch([patient], [patient]), steps=settings.steps, only=called)
            misses.append(np.abs(found.error).max() / max(np.abs(found.score - found.baseline).max(), 1e-6))
            rng = np.random.default_rng(fold_seed(seed, f"{fitted.info.name}/{patient}", k))
            parts = {
                "tiles": _tiles(found, here, patient, columns),
                "genes": _genes(found, batch.genes[0].cpu().numpy(), fitted, columns),
                "faithfulness": faithfulness.curves(
                    fitted, batch, found, random_orders=settings.random_orders, rng=rng
                ),
                "stability": _stability((found, fitted), (by_other, other), called),
            }
            for name, part in parts.items():
                if part is not None:
                    part.insert(0, "patient", patient)
                    tables[name].append(part)
    _log_misses(misses)
    empty = {
        "tiles": _empty({**_TILES, **dict.fromkeys(columns, np.float64)}),
        "genes": _empty({**_GENES, **dict.fromkeys(columns, np.float64)}),
        "faithfulness": _empty({"patient": str, **faithfulness.COLUMNS}),
        "stability": _empty({"patient": str, **stability.COLUMNS}),
    }
    for name, rows in tables.items():
        write_table(Path(out_dir) / f"{name}.parquet", pd.concat(rows, ignore_index=True) if rows else empty[name])


def _empty(columns: dict[str, type]) -> pd.DataFrame:
    return pd.DataFrame({column: pd.Series(dtype=kind) for column, kind in columns.items()})


def _loaded(folder: str | Path, *, device: str) -> FittedModel:
    """The fitted model of a folder as it predicts, its weights without gradients, which nobody needs here."""
    fitted = load_fold(folder, device=device)
    fitted.module.to(device).eval().requires_grad_(False)
    return fitted


def _tiles(found: Attribution, batcher: Batcher, patient: str, columns: list[str]) -> pd.DataFrame | None:
    """`slide`, `x_lv0`, `y_lv0`, `attention`, `a_<class>`, and `cross_<t>` for models with cross-attention."""
    if found.tiles is None:
        return None
    table = batcher.coords(patient)
    table["attention"] = np.nan if found.attention is None else found.attention
    table[columns] = found.tiles
    if found.cross is None:
        return table
    cross = pd.DataFrame(found.cross.T, columns=[f"cross_{token}" for token in range(len(found.cross))])
    return table.join(cross)


def _genes(found: Attribution, values: np.ndarray, fitted: FittedModel, columns: list[str]) -> pd.DataFrame | None:
    """`gene`, `value` (standardised), `token`, `a_<class>` of the genes that reach the model."""
    if found.genes is None:
        return None
    rna = fitted.transforms.expression
    assert rna is not None  # the model reads genes
    table = pd.DataFrame({"gene": rna.kept_genes, "value": values.astype(np.float64), "token": rna.tokens})
    table[columns] = found.genes
    return table


def _stability(
    one: tuple[Attribution, FittedModel], other: tuple[Attribution, FittedModel], called: int
) -> pd.DataFrame:
    """How alike two models explain the class that the first one called."""
    tiles: list[np.ndarray | None] = []
    genes: list[pd.Series | None] = []
    for found, fitted in (one, other):
        rna = fitted.transforms.expression
        tiles.append(None if found.tiles is None else found.tiles[:, called])
        if found.genes is None:
            genes.append(None)
        else:
            assert rna is not None
            genes.append(pd.Series(found.genes[:, called], index=rna.kept_genes))
    return stability.stability(tiles=(tiles[0], tiles[1]), genes=(genes[0], genes[1]))


def _log_misses(misses: list[float]) -> None:
    """Say how exact the integrals are."""
    if not misses:
        _log.info("no test patient to explain")
        return
    _log.info(
        "completeness: the attributions differ from the change of the log-odds by a share of %.2g (median), %.2g (worst patient)",
        float(np.median(misses)),
        max(misses),
    )
    if max(misses) > _MAX_ERROR:
        _log.warning(
            "the integral is imprecise for %d patients; increase explain.steps", sum(m > _MAX_ERROR for m in misses)
        )
