"""The model card of a bundle (Mitchell et al., FAT* 2019): what it is, how well it did, and what it is not for."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pandas as pd

from histoweave.apply.manifest import Manifest
from histoweave.apply.training import Training
from histoweave.storage.files import write_text

SHOWN = ("auroc", "average_precision", "balanced_accuracy", "accuracy", "ece", "brier")


def write_card(path: Path, manifest: Manifest, training: Training, *, scanners: str) -> None:
    """Write `MODEL_CARD.md`; it names counts, metrics and scanners (in words), no patient and no site."""
    included = training.patients[training.patients["included"]]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, of our own values
    )
    counts = included["label"].value_counts().reindex(list(manifest.classes), fill_value=0)
    text = environment.get_template("MODEL_CARD.md.j2").render(
        bundle=manifest,
        counts=counts.to_dict(),
        n=len(included),
        n_image=int(included["has_image"].sum()),
        n_rna=int(included["has_expression"].sum()),
        n_sites=int(included["site"].nunique()),
        scanners=scanners,
        folded=training.how_folded,
        metrics=shown_metrics(training.metrics),
        columns=SHOWN,
        calibrated=[] if training.temperatures is None else sorted(set(training.temperatures["model"])),
        conformal=training.scores is not None,
    )
    write_text(path, text)


def shown_metrics(metrics: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Model → metric → `estimate [low, high]` of the pooled scope."""
    rows = metrics[(metrics["scope"] == "pooled") & metrics["metric"].isin(SHOWN)]
    found: dict[str, dict[str, str]] = {}
    for row in rows.itertuples():
        interval = "" if pd.isna(row.ci_low) else f" [{row.ci_low:.3f}, {row.ci_high:.3f}]"
        found.setdefault(row.model, {})[row.metric] = "–" if pd.isna(row.estimate) else f"{row.estimate:.3f}{interval}"
    return found
