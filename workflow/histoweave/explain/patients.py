"""What is shown of each patient: the call, its leading tiles and genes, and what the gene tokens look at."""

from __future__ import annotations

import numpy as np
import pandas as pd

TOP_GENES = 10
_LEADERS = 3


def calls(predictions: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """`y_true`, `called`, `p_called`, `fold` of each patient's out-of-fold prediction, by patient."""
    test = predictions[predictions["role"] == "test"].set_index("patient").sort_index()
    p = test[[f"p_{label}" for label in classes]].to_numpy()
    called = np.array(classes, dtype=object)[p.argmax(axis=1)]
    return test[["y_true"]].assign(called=called, p_called=p.max(axis=1), fold=test["fold"].astype("int64"))


def patient_table(tiles: pd.DataFrame, genes: pd.DataFrame, called: pd.DataFrame, *, top_tiles: int) -> pd.DataFrame:
    """`patients.parquet`: one row per patient, sorted (docs/artefacts.md).

    Parameters
    ----------
    tiles, genes : of all folds, one fold per patient. called : as `calls` returns it.
    top_tiles : tiles at either end of the ranking by attribution for the called class, fewer where fewer speak for it
        (`top_tiles`) or against it (`bottom_tiles`).
    """
    tile_rows, gene_rows = dict(iter(tiles.groupby("patient"))), dict(iter(genes.groupby("patient")))
    leaders = {fold: token_leaders(part) for fold, part in genes.groupby(genes["patient"].map(called["fold"]))}
    rows = []
    for row in called.itertuples():
        own = f"a_{row.called}"
        top: list[dict] = []
        bottom: list[dict] = []
        top_genes: list[dict] = []
        cross: list[list[float]] = []
        if row.Index in tile_rows:
            part = tile_rows[row.Index].sort_values(own, ascending=False, kind="stable")
            # A tile speaks for the call or against it by its sign, not by its rank.
            speaking_for, against = part[part[own] > 0].head(top_tiles), part[part[own] < 0].tail(top_tiles)
            top, bottom = _tiles(speaking_for, own), _tiles(against.iloc[::-1], own)
            looked = [column for column in part if column.startswith("cross_")]
            attention = speaking_for[looked].to_numpy().T
            cross = [] if not attention.size or np.isnan(attention).any() else attention.tolist()
        if row.Index in gene_rows:
            part = gene_rows[row.Index].sort_values(own, key=lambda a: -a.abs(), kind="stable").head(TOP_GENES)
            top_genes = [{"gene": g, "attribution": a} for g, a in zip(part["gene"], part[own], strict=True)]
        tokens = leaders.get(row.fold, []) if row.Index in gene_rows else []
        rows.append((row.Index, *row[1:], top, bottom, top_genes, cross, tokens))
    columns = ["patient", *called, "top_tiles", "bottom_tiles", "top_genes", "cross", "token_genes"]
    return pd.DataFrame(rows, columns=columns)


def _tiles(part: pd.DataFrame, own: str) -> list[dict]:
    columns = part[["slide", "x_lv0", "y_lv0", own]].rename(columns={own: "score"})
    return columns.to_dict("records")


def token_leaders(genes: pd.DataFrame) -> list[str]:
    """The three genes of each token with the largest mean magnitude of attribution in a fold, such as `A, B, C`.

    genes : `gene`, `token`, `a_<class>` of the fold's patients; empty for models without gene tokens.
    """
    columns = [column for column in genes if column.startswith("a_")]
    size = genes.assign(size=genes[columns].abs().mean(axis=1)).groupby(["token", "gene"])["size"].mean()
    ranked = size[size.index.get_level_values("token") >= 0].sort_values(ascending=False, kind="stable").reset_index()
    by_token = ranked.groupby("token")["gene"].apply(lambda names: ", ".join(names.head(_LEADERS)))
    return by_token.sort_index().to_list()
