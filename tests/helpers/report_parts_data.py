"""Synthetic tables of explanations and decisions, as a finished run has them, with awkward content on purpose."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image
from shapely.affinity import scale
from shapely.geometry import Point

from histoweave.explain.slide_morphology import small_picture
from histoweave.explain.tile_measures import MEASURES
from histoweave.slides.outlines import write_geojson
from histoweave.slides.spacing import Spacing
from histoweave.slides.store import TileTable, tile_attributes, write_tiles
from histoweave.storage.files import write_table

SIZE_LV0, EDGE_LV0 = (16128, 16128), 448
HOSTILE_GENE = "GENE<img src=x onerror=alert(1)>"
_SHARES = np.linspace(0, 1, 11)
_ORDERS = {"attribution": 3.0, "attention": 1.6, "random": 1.0}


def write_slides(folder: Path, slides: pd.DataFrame, *, rng: np.random.Generator, edge_px: int) -> dict[str, Path]:
    """Thumbnail (`edge_px` wide), contours and tiles of every slide; returns the thumbnails. One tissue serves all."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:edge_px, :edge_px] * 252 / edge_px
    tissue = (x - 126) ** 2 / 95**2 + (y - 120) ** 2 / 75**2 < 1 + 0.2 * np.sin(x / 17) * np.cos(y / 23)
    grain = cv2.GaussianBlur(rng.normal(0, 60, (edge_px, edge_px)).astype(np.float32), (0, 0), edge_px / 250)
    pixels = np.full((edge_px, edge_px, 3), 244.0)
    pixels[tissue] = np.array([214, 150, 190]) + grain[tissue][:, None]
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "one.png")
    ellipse = scale(Point(0.5, 0.476).buffer(1, quad_segs=90), 95 / 252, 75 / 252)
    write_geojson(folder / "one.geojson", [scale(ellipse, *SIZE_LV0, origin=(0, 0))])
    attributes = tile_attributes(
        slide="one", tile_px=224, target_mpp=0.5, overlap_px=0, spacing=Spacing(0.25, 0.25, "openslide"),
        size_lv0=SIZE_LV0, edge_lv0=EDGE_LV0,
    )  # fmt: skip
    write_tiles(folder / "one.h5", TileTable("one", "slide", attributes))
    for slide in slides["slide"]:
        for form in ("png", "geojson", "h5"):
            shutil.copyfile(folder / f"one.{form}", folder / f"{slide}.{form}")
    return {slide: folder / f"{slide}.png" for slide in slides["slide"]}


def write_overlays(folder: Path, slides: Iterable[str], *, rng: np.random.Generator, edge_px: int) -> dict[str, Path]:
    """An attribution overlay per slide: tiles from blue to orange, nothing around them."""
    folder.mkdir(parents=True, exist_ok=True)
    values = rng.normal(size=(36, 36))
    pixels = np.zeros((36, 36, 4), np.uint8)
    pixels[..., :3] = np.where(values[..., None] > 0, [0xE6, 0x9F, 0x00], [0x00, 0x72, 0xB2])
    pixels[..., 3] = np.minimum(np.abs(values) * 140, 255)
    y, x = np.mgrid[:36, :36]
    pixels[((x - 18) / 13) ** 2 + ((y - 17) / 10) ** 2 > 1] = 0
    Image.fromarray(pixels).resize((edge_px, edge_px), Image.Resampling.NEAREST).save(folder / "one.png")
    for slide in slides:
        shutil.copyfile(folder / "one.png", folder / f"{slide}.png")
    return {slide: folder / f"{slide}.png" for slide in slides}


def _interval(rng: np.random.Generator, table: pd.DataFrame, column: str, half: float) -> pd.DataFrame:
    width = rng.uniform(0.6, 1.4, len(table)) * half
    return table.assign(ci_low=table[column] - width, ci_high=table[column] + width)


def _drivers(rng: np.random.Generator, classes: list[str], names: list[str], column: str) -> pd.DataFrame:
    parts = []
    for label in classes:
        mean = rng.normal(0, 0.05, len(names))
        part = pd.DataFrame({"class": label, column: names, "mean": mean})
        rank = part["mean"].abs().rank(ascending=False, method="first").astype(int)
        parts.append(_interval(rng, part.assign(rank=rank, n=58), "mean", 0.01))
    return pd.concat(parts, ignore_index=True)


def _explained(rng: np.random.Generator, patients: pd.DataFrame, classes: list[str], genes: list[str]) -> pd.DataFrame:
    tokens = ["ESR1, GATA3, FOXA1", "NUF2, MKI67, CCNB1", f"KRT5, {HOSTILE_GENE}"]
    rows = []
    for index, row in enumerate(patients.itertuples()):

        def tiles(sign: int, row=row) -> list[dict]:
            slide = f"{row.patient}-01Z-00-DX1"
            places = rng.integers(8, 28, (6, 2)) * EDGE_LV0
            return [
                {"slide": slide, "x_lv0": int(x), "y_lv0": int(y), "score": sign * float(s)}
                for (x, y), s in zip(places, np.sort(rng.gamma(2, 0.1, 6))[::-1], strict=True)
            ]

        chosen = rng.choice(genes, 12, replace=False)
        values = rng.normal(0, 0.2, 12)
        order = np.argsort(-np.abs(values))
        weights = rng.dirichlet(np.ones(6), 3)
        rows.append({
            "patient": row.patient, "y_true": row.label,
            "called": row.label if index % 6 else classes[(classes.index(row.label) + 1) % len(classes)],
            "p_called": float(rng.uniform(0.5, 1)), "fold": index % 5,
            "top_tiles": tiles(1) if row.has_image else [], "bottom_tiles": tiles(-1) if row.has_image else [],
            "top_genes": [{"gene": str(chosen[i]), "attribution": float(values[i])} for i in order] if row.has_expression else [],
            "cross": weights.tolist() if row.has_image and row.has_expression else [],
            "token_genes": tokens if row.has_image and row.has_expression else [],
        })  # fmt: skip
    return pd.DataFrame(rows)


def _faithfulness(rng: np.random.Generator, patients: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for patient in patients["patient"].head(30):
        for modality in ("image", "expression"):
            for direction in ("deletion", "insertion"):
                for order, speed in _ORDERS.items():
                    if order == "attention" and modality == "expression":
                        continue
                    share = _SHARES if direction == "insertion" else 1 - _SHARES
                    curve = 0.35 + 0.5 * (1 - (1 - share) ** speed if direction == "insertion" else share**speed)
                    rows += [
                        {"patient": patient, "modality": modality, "order": order, "direction": direction, "share": s, "score": v}
                        for s, v in zip(_SHARES, curve + rng.normal(0, 0.02, len(curve)), strict=True)
                    ]  # fmt: skip
    return pd.DataFrame(rows)


def _tests() -> pd.DataFrame:
    rows = [
        ("deletion_gain", "image", "attribution", 0.12, True, "Removing tiles by attribution lowers the probability faster than in random order."),
        ("deletion_gain", "image", "attention", 0.01, False, "Attention is not faithful here: removing the tiles it looks at most is no better than random order."),
        ("insertion_gain", "expression", "attribution", 0.2, True, "Putting genes back by attribution raises the probability faster than in random order."),
        ("stability", "expression", "attribution", 0.004, False, "Two folds' models disagree on which genes matter."),
        ("planted_tiles_auroc", "image", "attribution", 0.91, True, "Attribution ranks the planted tiles above the others."),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["test", "modality", "order", "estimate", "passed", "says"])
    return table.assign(ci_low=table["estimate"] - 0.03, ci_high=table["estimate"] + 0.03, n=58)


def _morphology(rng: np.random.Generator, patients: pd.DataFrame, classes: list[str]) -> dict[str, pd.DataFrame]:
    """As `explain.explain_morphology` makes them: area of nuclei was not measured, pictures are of noise."""
    measures = _drivers(rng, classes, list(MEASURES), "measure")
    measures["unit"], measures["sd"], measures["other"], measures["note"] = (
        measures["measure"].map(MEASURES),
        2.0,
        1.0,
        "",
    )
    lost = measures["measure"] == "nucleus_area_um2"
    measures.loc[lost, ["mean", "ci_low", "ci_high", "other"]] = np.nan
    measures.loc[lost, "note"] = "not measured: it has a value in 0 of 58 patients"
    natural = measures[["mean", "ci_low", "ci_high"]].mul(measures["sd"], axis=0)
    measures[["difference", "difference_low", "difference_high"]] = natural
    parts = []
    for label in classes:
        own = patients.loc[patients["label"] == label, "patient"].head(12)
        noise = rng.integers(0, 256, (len(own), 96, 96, 3), dtype=np.uint8)
        parts.append(pd.DataFrame({
            "class": label, "rank": range(1, len(own) + 1), "patient": own, "slide": own + "-01Z-00-DX1", "x_lv0": 448,
            "y_lv0": 896, "attribution": 0.5, "z": 2.0, "picture": [small_picture(picture) for picture in noise],
        }))  # fmt: skip
    return {"morphology": measures, "class_tiles": pd.concat(parts, ignore_index=True)}


def write_explain(
    folder: Path, *, patients: pd.DataFrame, classes: list[str], rng: np.random.Generator
) -> dict[str, list[Path]]:
    """The tables of `explain/<model>/` by name, each with its files."""
    genes = ["ESR1", "GATA3", "NUF2", "MKI67", HOSTILE_GENE, *(f"GENE{i}" for i in range(295))]
    sets = [f"HALLMARK_{name}" for name in ("ESTROGEN_RESPONSE_EARLY", "E2F_TARGETS", "G2M_CHECKPOINT", "HYPOXIA")]
    concepts = [f"{i} lymphocytes" if i == 7 else str(i) for i in range(20)]
    gene_sets = _drivers(rng, classes, sets, "gene_set").assign(genes="ESR1; GATA3", n_genes=42)
    interaction = pd.DataFrame({"class": classes[-1], "concept": concepts[:4], "gene_set": sets, "interaction": 0.3})
    faithfulness = _faithfulness(rng, patients)
    tables = {
        "genes": _drivers(rng, classes, genes, "gene"),
        "gene_sets": gene_sets,
        "tests": _tests(),
        "patients": _explained(rng, patients, classes, genes),
        "concepts": _drivers(rng, classes, concepts, "concept"),
        **_morphology(rng, patients, classes),
        "concept_gene_sets": _interval(rng, interaction.assign(n=58), "interaction", 0.1),
    }
    for name, table in tables.items():
        write_table(folder / f"{name}.parquet", table)
    folds = [folder / f"fold{k}" / "faithfulness.parquet" for k in range(2)]
    for k, path in enumerate(folds):
        write_table(path, faithfulness.iloc[k::2].reset_index(drop=True))
    return {name: [folder / f"{name}.parquet"] for name in tables} | {"faithfulness": folds}


def _curves(rng: np.random.Generator, models: tuple[str, ...], classes: list[str], n: int) -> dict[str, pd.DataFrame]:
    risk, net, learning, fits, reliability = [], [], [], [], []
    thresholds = np.round(np.arange(0.01, 1, 0.01), 2)
    for strength, model in enumerate(models, start=1):
        coverage = np.arange(1, n + 1) / n
        risk.append(
            pd.DataFrame(
                {
                    "model": model,
                    "coverage": coverage,
                    "risk": 0.4 * coverage / strength,
                    "threshold": 1 - coverage / 2,
                    "n": n,
                }
            )
        )
        for state, gap in (("before", 0.12), ("after", 0.02)):
            confidence = np.linspace(0.55, 0.95, 5)
            reliability.append(
                pd.DataFrame(
                    {
                        "model": model,
                        "state": state,
                        "bin": range(5),
                        "confidence": confidence,
                        "accuracy": confidence - gap,
                        "n": [0, 9, 10, 11, 30],
                    }
                )
            )
        for share in (0.25, 0.5, 0.75, 1.0):
            score = 0.9 - 1.5 * (share * n) ** -0.7
            learning.append(
                {
                    "model": model,
                    "n_train": share * n,
                    "share": share,
                    "repeat": 0,
                    "metric": "auroc",
                    "estimate": score,
                }
            )
        fits.append(
            {
                "model": model,
                "metric": "auroc",
                "a": np.nan if strength == 1 else 0.9,
                "b": 1.5,
                "c": 0.7,
                "n_now": n,
                "now": 0.85,
                "n_more": 50,
                "expected_gain": 0.01,
                "gain_low": 0.0,
                "gain_high": 0.02,
                "says": f"The next 50 patients are expected to add 0.01 [0.00, 0.02] to the AUROC of {model}.",
            }
        )
    for label in classes[1:] if len(classes) == 2 else classes:
        for model in (*models, "treat_all", "treat_none"):
            odds = thresholds / (1 - thresholds)
            benefit = {"treat_all": 0.4 - 0.6 * odds, "treat_none": 0 * odds}.get(model, 0.38 - 0.2 * odds)
            net.append(
                pd.DataFrame({"model": model, "class": label, "threshold": thresholds, "net_benefit": benefit, "n": n})
            )
    return {
        "risk_coverage": pd.concat(risk, ignore_index=True), "reliability": pd.concat(reliability, ignore_index=True),
        "decision_curve": _interval(rng, pd.concat(net, ignore_index=True), "net_benefit", 0.04),
        "learning": _interval(rng, pd.DataFrame(learning), "estimate", 0.04), "learning_fit": pd.DataFrame(fits),
        "findings": pd.DataFrame([("calibration", models[-1], "A finding on calibration.")], columns=["topic", "model", "says"]),
    }  # fmt: skip


def write_decide(
    folder: Path, *, models: tuple[str, ...], classes: list[str], sites: list[str], n: int, rng: np.random.Generator
) -> dict[str, list[Path]]:
    """The tables of `decide/` by name, each with its file."""
    calibration = [
        {"model": model, "metric": metric, "before": 0.2, "after": 0.15, "difference": -0.05, "n": n}
        for model in models
        for metric in ("ece", "brier", "log_loss")
    ]
    scopes = ["pooled", *(f"class:{label}" for label in classes), *(f"site:{site}" for site in sites)]
    conformal = [
        {"model": model, "level": level, "kind": kind, "scope": scope, "coverage": level - 0.01, "mean_set_size": 1.2, "n": n, "singletons": 40, "empty": 1}
        for model in models
        for level in (0.8, 0.9)
        for kind in ("marginal", "class")
        for scope in scopes
    ]  # fmt: skip
    selective = [
        {"model": model, "metric": metric, "estimate": 0.1, "n": n}
        for model in models
        for metric in ("aurc", "risk_at_0.8")
    ]
    groups = [*(("site", site) for site in sites), ("age", "up to 51"), ("age", "51 to 64"), ("age", "over 64")]
    subgroups = [
        {"model": model, "column": column, "group": group, "metric": metric, "estimate": 0.8, "n": n // 4}
        for model in models
        for column, group in groups
        for metric in ("auroc", "accuracy")
    ]
    tables = _curves(rng, models, classes, n) | {
        "calibration": _interval(rng, pd.DataFrame(calibration), "difference", 0.02),
        "conformal": _interval(rng, pd.DataFrame(conformal), "coverage", 0.05),
        "selective": _interval(rng, pd.DataFrame(selective), "estimate", 0.03),
        "subgroups": _interval(rng, pd.DataFrame(subgroups), "estimate", 0.06),
    }
    for name, table in tables.items():
        write_table(folder / f"{name}.parquet", table)
    return {name: [folder / f"{name}.parquet"] for name in tables}
