"""A synthetic finished run of the cell arm: tokens, pictures in an archive and every table, awkward on purpose."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageDraw
from scipy.stats import rankdata

from histoweave.concepts.activations import ImageActivations
from histoweave.concepts.encode_images import encode_images
from histoweave.pages.concepts.inputs import CohortFiles, ConceptReportInputs, Picture
from histoweave.sae.format import save
from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.tokens import Tokens, cell_blocks, slide_blocks
from histoweave.settings.concepts import Concepts
from histoweave.settings.sae import Sae
from histoweave.storage.files import write_table
from histoweave.tabular.reading import Reading

HOSTILE = "</script><script>alert('id')</script>"
QUOTED = '"neutrophil", =band & <b>'
LABELS = ("eosinophil", QUOTED, "lymphocyte")
REPRESENTATIONS = {"concepts": 0.84, "raw": 0.88, "embedding": 0.9, "pca": 0.83, "kmeans": 0.7, "random": 0.6}
_COLOURS = {"eosinophil": (205, 92, 92), QUOTED: (120, 80, 170), "lymphocyte": (70, 60, 150)}


def make_sae(dim: int, n_latents: int, *, seed: int = 0) -> SparseAutoencoder:
    """A random TopK dictionary with tied weights; its last two latents can never fire."""
    generator = torch.Generator().manual_seed(seed)
    w_dec = torch.nn.functional.normalize(torch.randn(n_latents, dim, generator=generator), dim=1)
    b_enc = torch.zeros(n_latents)
    b_enc[-2:] = -1e6
    return SparseAutoencoder(
        architecture="topk", k=4, w_enc=w_dec.T.contiguous(), b_enc=b_enc, w_dec=w_dec, b_dec=torch.zeros(dim),
        training_mean=torch.zeros(dim), firing=torch.full((n_latents,), 0.1), metadata={"seed": seed, "note": HOSTILE},
    )  # fmt: skip


def draw_cell(label: str, rng: np.random.Generator, *, edge_px: int, tone: tuple[int, int, int]) -> Image.Image:
    """A disc with a nucleus in the colour of its label, on a background that is the laboratory's."""
    picture = Image.new("RGB", (edge_px, edge_px), tone)
    draw = ImageDraw.Draw(picture)
    middle, radius = edge_px / 2 + rng.uniform(-4, 4, 2), edge_px * rng.uniform(0.3, 0.42)
    draw.ellipse([*(middle - radius), *(middle + radius)], fill=tuple(int(c) for c in rng.normal((225, 190, 210), 8)))
    for _ in range(1 + LABELS.index(label) % 3 * 2):
        at, size = middle + rng.uniform(-0.4, 0.4, 2) * radius, radius * rng.uniform(0.25, 0.5)
        draw.ellipse([*(at - size), *(at + size)], fill=_COLOURS[label])
    return picture


def _images(rng: np.random.Generator, name: str, n: int, per_patient: int) -> pd.DataFrame:
    cells = [f"{name}-{i:04d}" for i in range(n)]
    cells[0] = f"{name} {HOSTILE}"
    labels = rng.choice(LABELS, n)
    table = pd.DataFrame(
        {
            "image": cells,
            "patient": [f"{name}-p{i // per_patient}" for i in range(n)],
            "label": labels,
            "patient_label": "healthy",
            "status": "ok",
            "reason": "",
            "granules": np.where((labels == "eosinophil") & (rng.random(n) < 0.8), "coarse", "none"),
        }
    )
    refused = table.head(2).assign(image=[f"{name}-broken", f"{name} {HOSTILE} broken"], status="unreadable_cell")
    return pd.concat([table, refused.assign(reason=f"not an image {HOSTILE}")], ignore_index=True)


def _shard(path: Path, images: pd.DataFrame, rng: np.random.Generator, *, dim: int, edge: int, shift: float) -> None:
    """One token before `edge` × `edge` patches; patches near the centre lean to the direction of the label."""
    directions = np.random.default_rng(3).normal(size=(len(LABELS), dim))
    row, column = np.mgrid[:edge, :edge]
    near = np.exp(-(((row - edge / 2) ** 2 + (column - edge / 3) ** 2) / (edge / 3) ** 2)).ravel()
    tokens = []
    for label in images["label"]:
        weight = np.concatenate([[0.3], near * rng.uniform(0.5, 1.5)])
        noise = rng.normal(shift, 0.35, (len(weight), dim))
        tokens.append((weight[:, None] * directions[LABELS.index(label)] + noise).astype(np.float16))
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["tokens"] = np.concatenate(tokens)
        file["offsets"] = np.arange(len(tokens) + 1) * (1 + edge * edge)
        file.create_dataset("cell", data=images["image"].tolist(), dtype=h5py.string_dtype())
        file.attrs.update(grid=(edge, edge), prefix_tokens=1, crop=1.0)


def _slides(folder: Path, images: pd.DataFrame, rng: np.random.Generator, *, dim: int) -> dict[str, Path]:
    """Feature files of slides, tiles of 100 px on a level 0 of 4000 × 3000 px; the first slide has many tiles."""
    files = {}
    for place, slide in enumerate(images["image"]):
        step = 50 if place == 0 else 400
        coords = np.array([(x, y) for y in range(0, 3000 - 99, step) for x in range(0, 4000 - 99, step)])
        files[slide] = folder / f"slide{place}.h5"
        folder.mkdir(parents=True, exist_ok=True)
        with h5py.File(files[slide], "w") as file:
            file["features"] = rng.normal(size=(len(coords), dim)).astype(np.float16)
            file["coords"] = coords
            file["coords"].attrs.update(patch_size_level0=100, level0_width=4000, level0_height=3000)
    return files


def _archive(path: Path, images: pd.DataFrame, rng: np.random.Generator, *, edge_px: int, tone) -> Picture:
    """Write the pictures into an archive; returns what reads them back. One of them is broken."""
    member_of = {image: f"{place}.png" for place, image in enumerate(images["image"])}
    with zipfile.ZipFile(path, "w") as archive:
        for image, label in zip(images["image"], images["label"], strict=True):
            buffer = io.BytesIO()
            draw_cell(label, rng, edge_px=edge_px, tone=tone).save(buffer, format="PNG")
            broken = member_of[image] == "3.png"
            archive.writestr(member_of[image], b"no picture" if broken else buffer.getvalue())

    def picture(image: str) -> Image.Image:
        with zipfile.ZipFile(path) as archive:
            return Image.open(io.BytesIO(archive.read(member_of[image]))).convert("RGB")

    return picture


def _concepts(activations: ImageActivations, images: pd.DataFrame, settings: Concepts) -> pd.DataFrame:
    mean = activations.mean.tocsc()
    n_images = np.diff(mean.indptr)
    total, largest = np.asarray(mean.sum(axis=0)).ravel(), mean.max(axis=0).toarray().ravel()
    with np.errstate(invalid="ignore"):
        mean_activation = total / n_images
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "concept": np.arange(len(n_images)),
            "firing_rate": n_images / len(images),
            "mean_activation": mean_activation,
            "max_activation": largest,
            "n_images": n_images,
            "dead": n_images == 0,
            "dead_by_magnitude": ~(mean_activation >= settings.dead_below),
            "label_entropy": np.where(
                n_images == 0, np.nan, np.where(n_images < 10, -1, rng.uniform(0, 1, len(total)))
            ),
            "top_label": LABELS[0],
            "top_label_share": 0.5,
            "n_top_patients": 3,
            "monosemanticity": np.where(n_images > 1, rng.uniform(0, 1, len(total)), np.nan),
        }
    )


def _top_images(activations: ImageActivations, k: int) -> pd.DataFrame:
    mean = activations.mean.tocsc()
    rows = []
    for concept in range(mean.shape[1]):
        column = mean[:, [concept]].tocoo()
        order = np.argsort(-column.data, kind="stable")[:k]
        rows += [(concept, rank + 1, activations.images[column.row[i]], column.data[i]) for rank, i in enumerate(order)]
    return pd.DataFrame(rows, columns=["concept", "rank", "image", "activation"])


def _associations(activations: ImageActivations, images: pd.DataFrame) -> pd.DataFrame:
    ranks = rankdata(activations.mean.toarray(), axis=0)
    rows = []
    for target in ("label", "granules"):
        for value in sorted(images[target].unique()):
            positive = (images[target] == value).to_numpy()
            n = positive.sum()
            auroc = (ranks[positive].sum(axis=0) - n * (n + 1) / 2) / (n * (len(positive) - n))
            rows += [
                (concept, target, value, area, 10 ** (-40 * abs(area - 0.5)), n, len(positive))
                for concept, area in enumerate(auroc)
            ]
    columns = ["concept", "target", "value", "auroc", "q", "n_positive", "n_images"]
    return pd.DataFrame(rows, columns=columns).assign(auroc_se=0.05, p=lambda t: t["q"], n_patients=9)


def _cohort(
    folder: Path, name: str, sae: SparseAutoencoder, *, n: int, seed: int, settings: Concepts, source: str, edge_px: int
) -> CohortFiles:
    rng = np.random.default_rng(seed)
    images = _images(rng, name, n, per_patient=4)
    ok = images[images["status"] == "ok"]
    folder = folder / name
    tone = ((238, 226, 214), (214, 220, 240), (244, 214, 222))[seed % 3]
    folder.mkdir(parents=True, exist_ok=True)
    picture = _archive(folder / "pictures.zip", ok, rng, edge_px=edge_px, tone=tone)
    shards, features = [], {}
    if source == "tiles":
        features = _slides(folder / "features", ok, rng, dim=sae.dim)
        blocks = slide_blocks({slide: str(path) for slide, path in features.items()})
    else:
        shards = [folder / f"{part}-of-2.h5" for part in range(2)]
        for part, shard in enumerate(shards):
            _shard(shard, ok.iloc[part::2], rng, dim=sae.dim, edge=6, shift=0.05 * seed)
        blocks = [block for shard in shards for block in cell_blocks(str(shard))]
    activations = encode_images(sae, Tokens(blocks), token_threshold=0.2, device=torch.device("cpu"))
    activations.save(folder / "activations.h5")
    ordered = ok.set_index("image").loc[activations.images].reset_index()
    tables = {
        "images": images,
        "concepts": _concepts(activations, ordered, settings),
        "top_images": _top_images(activations, settings.top_images),
        "associations": _associations(activations, ordered),
    }
    for table, content in tables.items():
        write_table(folder / f"{table}.parquet", content)
    return CohortFiles(
        name=name, activations=folder / "activations.h5", shards=shards, features=features, picture=picture,
        **{table: folder / f"{table}.parquet" for table in tables},
    )  # fmt: skip


def _scores(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    metrics, comparisons = [], []
    for level, lift in (("image", 0.0), ("patient", 0.05)):
        for metric in ("balanced_accuracy", "auroc", "f1_macro"):
            for name, value in REPRESENTATIONS.items():
                half = rng.uniform(0.02, 0.05)
                base = {"level": level, "metric": metric, "n_patients": 12, "n_images": 60 if level == "image" else 0}
                metrics.append(
                    base | {"representation": name, "scope": "pooled", "estimate": value + lift}
                    | {"ci_low": value + lift - half, "ci_high": value + lift + half}
                )  # fmt: skip
                metrics.append(metrics[-1] | {"scope": f"class:{QUOTED}", "estimate": 0.123})
                if name != "concepts":
                    difference = REPRESENTATIONS["concepts"] - value
                    comparisons.append(
                        base | {"representation_a": "concepts", "representation_b": name, "difference": difference}
                        | {"ci_low": difference - 0.03, "ci_high": difference + 0.03}
                    )  # fmt: skip
    return pd.DataFrame(metrics), pd.DataFrame(comparisons)


def _probes() -> pd.DataFrame:
    rows = [
        {"target": target, "value": value, "representation": name, "scope": scope, "auroc": 0.9, "ci_low": 0.8,
         "ci_high": 0.95, "n_positive": 20, "n_images": 60, "n_patients": 12}
        for target, value in (("label", QUOTED), ("granules", "coarse"))
        for name in ("concepts", "raw", "random")
        for scope in ("pooled", "fold0")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def write_concept_run(
    folder: Path, *, n_latents: int = 40, dim: int = 16, n_cells: int = 60, externals: tuple[str, ...] = ("lab b",),
    optional: bool = True, source: str = "cells", edge_px: int = 96, gallery: int = 200,
) -> ConceptReportInputs:  # fmt: skip
    """Write all files below `folder` and return their paths; `optional` False leaves out what a run may lack."""
    settings = Concepts(gallery=gallery)
    sae = make_sae(dim, n_latents)
    save(sae, folder / "sae")
    names = ("lab_a", *externals)
    cohorts = [
        _cohort(
            folder, name, sae, n=n_cells if seed == 0 else n_cells * 2 // 3, seed=seed, settings=settings,
            source=source, edge_px=edge_px,
        )
        for seed, name in enumerate(names)
    ]  # fmt: skip
    rng = np.random.default_rng(11)
    metrics, comparisons = _scores(rng)
    levels = pd.DataFrame(
        {"level": ["image", "patient"], "status": ["scored", "not_scored"], "reason": ["", f"one class {HOSTILE}"],
         "n_rows": 60, "n_patients": 12}
    )  # fmt: skip
    classes = pd.DataFrame(
        {"level": "image", "class": list(LABELS), "n_rows": 20, "n_patients": 9, "scored": [True, True, False],
         "reason": ["", "", "too few patients"]}
    )  # fmt: skip
    stability = pd.DataFrame(
        {"one": [0], "other": [1], "n_matched": n_latents, "n_latents": n_latents, "mean": 0.7, "share": 0.5,
         "weighted_mean": 0.98, "null": 0.33}
    )  # fmt: skip
    tables = {
        "metrics": metrics,
        "comparisons": comparisons,
        "levels": levels,
        "classes": classes,
        "probes": _probes(),
        "stability": stability,
        "stability_concepts": pd.DataFrame({"concept": range(n_latents), "stability": rng.uniform(0.4, 1, n_latents)}),
    }
    for name, table in tables.items():
        write_table(folder / f"{name}.parquet", table)
    of_external = {
        "transfer": metrics,
        "transfer_classes": classes,
        "shift": pd.DataFrame(
            {"measure": ["alive", "jaccard"], "train": [38.0, np.nan], "external": [37.0, 0.9], "ci_low": np.nan,
             "ci_high": np.nan}
        ),
        "shift_concepts": pd.DataFrame(
            {"concept": range(n_latents), "cohort_auroc": rng.uniform(0.1, 0.9, n_latents),
             "cohort_auroc_within_label": np.nan}
        ),
    }  # fmt: skip
    for name, table in of_external.items():
        write_table(folder / f"{name}.parquet", table)
    paths = {name: folder / f"{name}.parquet" for name in (tables if optional else ())}
    more = {name: folder / f"{name}.parquet" for name in (of_external if optional else ())}
    training, *others = cohorts
    return ConceptReportInputs(
        readings=[
            Reading(
                "cells.tsv", "text", 60, 4, "tab", "UTF-8", first_id="c1", last_id="c60", table="cells", notes="<b>"
            )
        ],
        cohort="lab_a",
        config={"seed": 3, "note": HOSTILE},
        settings=settings,
        sae_settings=Sae(source=source, k=4, expansion=2),
        sae=folder / "sae",
        figures=folder / "figures",
        training=training,
        externals=[CohortFiles(**{**vars(cohort), **more}) for cohort in others],
        input_sha256={"config/cells.tsv": "0" * 64},
        code={"concepts": "1" * 16},
        **paths,
    )


def add_review(inputs: ConceptReportInputs, answers: dict[int, tuple[str, str]]) -> None:
    """Put names and verdicts into the concepts table, as a run that was given a review does."""
    table = pd.read_parquet(inputs.training.concepts)
    table["name"] = [answers.get(concept, ("", ""))[0] or None for concept in table["concept"]]
    table["verdict"] = [answers.get(concept, ("", ""))[1] or None for concept in table["concept"]]
    write_table(inputs.training.concepts, table)
