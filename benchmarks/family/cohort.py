"""A member on disk: slides, counts, tables and a configuration, as a user would hand them over."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import tifffile
import yaml

from .members import Member
from .patients import draw_patients, strengths
from .rna import draw_counts
from .tissue import draw_slide

EDGE_PX = 1344  # six tiles of 224 px at 0.5 µm per px; most of the outer ones are glass
MPP = 0.5
_SITE_TINT = 0.3  # how far the stains of two sites may differ in the kind `site`, each site having its own


def tint_of(site: str, member: Member) -> np.ndarray:
    """(3,) float64: what a site's stain multiplies the colours by."""
    number = int(site.removeprefix("site"))
    spread = _SITE_TINT if member.kind == "site" else 0.12 * member.stain_spread
    return 1 - spread * np.random.default_rng([member.seed, 3, number]).uniform(-0.3, 0.7, 3)


def write_cohort(folder: Path, member: Member, *, edge_px: int = EDGE_PX) -> Path:
    """Write a cohort into an empty folder; returns its configuration, whose paths are relative to that folder."""
    patients = draw_patients(member)
    slides = folder / "slides"
    slides.mkdir(parents=True)
    rows = []
    for number, row in enumerate(patients.itertuples()):
        image = draw_slide(
            texture=member.texture,
            factor=row.image,
            strength=min(1.0, strengths(member)),
            edge_px=edge_px,
            tint=tint_of(row.site, member),
            rng=np.random.default_rng([member.seed, 4, number]),
        )
        path = slides / f"{row.patient}-1.tiff"
        _write_pyramid(path, image)
        rows.append({"slide": path.stem, "patient": row.patient, "path": f"slides/{path.name}"})
    pd.DataFrame(rows).to_csv(folder / "slides.tsv", sep="\t", index=False)
    patients[["patient", "label", "site"]].to_csv(folder / "patients.tsv", sep="\t", index=False)
    patients.to_csv(folder / "truth.tsv", sep="\t", index=False)
    draw_counts(patients, member).to_csv(folder / "counts.tsv", sep="\t")
    config = {
        "cohorts": {
            "family": {
                "patients": "patients.tsv",
                "slides": "slides.tsv",
                "expression": {"path": "counts.tsv", "unit": "counts"},
                "positive": "positive",
            }
        },
        "features": {"encoder": "efficientnet_lite0", "precision": "float16"},
        "folds": {"group_by": "patient"},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def _write_pyramid(path: Path, image: np.ndarray) -> None:
    with tifffile.TiffWriter(path) as writer:
        for level in range(3):
            height, width = (edge >> level for edge in image.shape[:2])
            small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) if level else image
            writer.write(
                small,
                tile=(256, 256),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 85},
                resolution=(1e4 / (MPP * 2**level),) * 2,
                resolutionunit="CENTIMETER",
                subfiletype=int(level > 0),
                metadata=None,
            )
