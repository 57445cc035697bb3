"""A bundle's genes, unit and encoder beside those of an external cohort, before anything is predicted."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from histoweave.apply import compatibility, conformal, drift, platform, plausible
from histoweave.apply.contents import check_contents, read_scores
from histoweave.apply.measures import patient_means, patient_totals
from histoweave.apply.read import opened
from histoweave.apply.slide_facts import slide_facts
from histoweave.fusion.catalog import EXPRESSION, IMAGE
from histoweave.settings.apply import Apply
from histoweave.storage.files import write_json, write_table

_log = logging.getLogger(__name__)


def compare(
    bundle: Path,
    *,
    patients: pd.DataFrame,
    slides: pd.DataFrame,
    expression: pd.DataFrame | None,
    samples: pd.DataFrame | None,
    unit: str | None,
    tiles: dict[str, Any],
    settings: Apply,
    out: dict[str, Path],
) -> None:
    """Write `compatibility.json`, `drift.parquet` and `plausible.parquet`; a cohort that does not fit is refused by `apply`, not here.

    Parameters
    ----------
    patients, slides : of the cohort stage. expression, samples, unit : of the expression stage, None without RNA.
    tiles : the section `tiles` of the configuration.

    Raises
    ------
    InputError
        if the bundle is damaged.
    """
    expression = None if expression is None or expression.empty else expression.set_index("patient")
    with opened(bundle) as held, threadpool_limits(1):
        check_contents(held)
        manifest = held.manifest
        of_images = compatibility.check_images(manifest, slide_facts(slides), tiles=tiles)
        of_rna = compatibility.check_expression(manifest, expression, unit=unit, limit=settings.missing_genes_limit)
        n_rna = 0 if expression is None else int(patients["has_expression"].sum())
        of_rna = platform.with_other_units(of_rna, unit=unit, training=manifest.expression, method=settings.align)
        fits = {
            modality
            for modality, checks in ((IMAGE, of_images), (EXPRESSION, of_rna))
            if all(check.status != "refused" or check.what == "genes" for check in checks)
        }
        of_depth = compatibility.check_depth(manifest, expression)
        means = None
        if IMAGE in fits and slides["status"].eq("ok").any():
            means = patient_means(slides).rename(columns=str)
        table = drift.drift(
            held,
            patients=patients,
            slides=slides,
            expression=expression,
            totals=patient_totals(samples if all(check.status == "ok" for check in of_depth) else None),
            comparable=fits,
            means=means,
        )
        of_alignment = platform.check_alignment(held, n=n_rna, method=settings.align)
        read, readable = platform.as_read(held, expression, fits, checks=of_alignment, method=settings.align)
        judged = plausible.judge(held, patients=patients, means=means, expression=read, comparable=readable)
        genes = manifest.expression.genes if manifest.expression else []
        lacking = compatibility.missing_genes(manifest, expression) if genes and expression is not None else []
        checks = [*of_images, *of_rna, *of_depth, *compatibility.check_values(table)]
        checks += compatibility.check_plausible(
            judged, unjudged=means is not None and not held.has(plausible.JUDGED[IMAGE].member)
        )
        checks += compatibility.check_cohort(manifest, patients)
        checks += conformal.check_classes(read_scores(held), classes=manifest.classes, level=settings.level)
        checks += of_alignment
    for check in checks:
        _log.info("%s: %s: %s", check.what, check.status, check.says)
    write_table(out["drift"], table)
    write_table(out["plausible"], judged)
    report = compatibility.report(checks, lacking=lacking, n_genes=len(genes))
    alignment = platform.alignment_record(checks, n=n_rna, method=settings.align)
    write_json(out["compatibility"], report | {"alignment": alignment})
