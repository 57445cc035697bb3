"""Curves as tables: what a reader has who cannot see the figures."""

from __future__ import annotations

from histoweave.pages.kit.tables import Cell, Table, number
from histoweave.pages.report.inputs import ReportTables

_RECALLS = (0.5, 0.7, 0.8, 0.9, 0.95)
_SPECIFICITIES = (0.5, 0.7, 0.8, 0.9, 0.95)
_EPSILON = 1e-9  # 1 - 0.9 is a little less than 0.1


def precision_table(tables: ReportTables) -> Table:
    """The best precision that a model keeps at a recall of at least so much, per class."""
    rows = []
    for label in tables.classes:
        for model in tables.models:
            curve = tables.curves[(tables.curves["class"] == label) & (tables.curves["model"] == model.name)]
            if len(curve):
                best = (curve.loc[curve["recall"] >= recall, "precision"].max() for recall in _RECALLS)
                rows.append((Cell(label), Cell(model.title), *(number(value, digits=3) for value in best)))
    return Table(("Class", "Model", *(f"Precision at recall {recall:g}" for recall in _RECALLS)), tuple(rows))


def sensitivity_table(tables: ReportTables) -> Table:
    """The best sensitivity that a model keeps at a specificity of at least so much, per class."""
    rows = []
    roc = tables.roc
    for label in tables.classes if roc is not None else ():
        assert roc is not None
        for model in tables.models:
            curve = roc[(roc["class"] == label) & (roc["model"] == model.name)]
            if len(curve):
                kept = (curve["false_positive_rate"] <= 1 - specificity + _EPSILON for specificity in _SPECIFICITIES)
                best = (curve.loc[mask, "true_positive_rate"].max() for mask in kept)
                rows.append((Cell(label), Cell(model.title), *(number(value, digits=3) for value in best)))
    return Table(("Class", "Model", *(f"Sensitivity at specificity {at:g}" for at in _SPECIFICITIES)), tuple(rows))


def reliability_table(tables: ReportTables) -> Table:
    """Confidence and accuracy of every bin that holds patients."""
    rows = tuple(
        (
            Cell(tables.titles[row.model]), number(row.bin), number(row.confidence, digits=3),
            number(row.accuracy, digits=3), number(row.n),
        )
        for row in tables.reliability[tables.reliability["n"] > 0].itertuples()
    )  # fmt: skip
    return Table(("Model", "Bin", "Mean confidence", "Accuracy", "Patients"), rows)


def training_table(tables: ReportTables) -> Table:
    """How long each network was trained, which epoch was kept, and its losses."""
    rows = []
    for model in tables.models:
        for fold, history in enumerate(tables.histories.get(model.name, ())):
            for member, epochs in history.groupby("member"):
                kept = epochs[epochs["best"]].iloc[0]
                losses = (number(kept[name], digits=3) for name in ("train_loss", "val_loss"))
                head = (Cell(model.title), number(fold), number(int(member)), number(len(epochs)))
                rows.append((*head, number(int(kept["epoch"])), *losses))
    columns = ("Model", "Fold", "Network", "Epochs", "Kept epoch", "Training loss", "Validation loss")
    return Table(columns, tuple(rows))
