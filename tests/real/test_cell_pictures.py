"""Real pictures of blood cells from three laboratories: read, cut out of fields, embedded with real weights."""

from __future__ import annotations

import zipfile

import h5py
import numpy as np
import pandas as pd
from PIL import Image
from running import SHARED, needs_shared_data

from histoweave.cells.embed_cells import embed_shard
from histoweave.cells.images import images_of_cells
from histoweave.cells.pictures import PictureReader, Place
from histoweave.cells.table import BOX, read_cells
from histoweave.sae.tokens import Tokens, cell_blocks
from histoweave.settings.cells import Cells
from histoweave.storage.refusal import Refusal

pytestmark = needs_shared_data


def table(folder, rows: pd.DataFrame, *, archive) -> str:
    """A user's table of these rows, which lie in an archive of the shared data."""
    file = folder / "cells.tsv"
    rows.assign(path=str(SHARED / archive)).to_csv(file, sep="\t", index=False)
    return str(file)


def places(cells: pd.DataFrame) -> list[Place]:
    boxes = [None if np.isnan(box[0]) else tuple(box) for box in cells[BOX].to_numpy()]
    return [Place(path, member, box) for path, member, box in zip(cells["path"], cells["member"], boxes, strict=True)]


def read(cells: pd.DataFrame, *, edge_px=64, crop=1.0) -> list[np.ndarray | Refusal]:
    with PictureReader(edge_px=edge_px, crop=crop) as reader:
        return reader.read_all(places(cells))


def acevedo(folder, *, attributes=("cell_size", "granularity")) -> pd.DataFrame:
    labels = pd.read_csv(SHARED / "acevedo-pbc" / "labels.csv")
    rows = labels.rename(columns={"file": "member", "class13": "label"})
    rows.insert(0, "cell", rows["member"].str.extract(r"([A-Z]+_\d+)\.jpg$"))
    return read_cells(table(folder, rows, archive="acevedo-pbc/images.zip"), attributes=attributes)


def test_acevedo(tmp_path):
    cells = acevedo(tmp_path)
    assert len(cells) == 874 and cells["granularity"].notna().sum() == 454
    pictures = np.stack(read(cells))
    assert pictures.shape == (874, 64, 64, 3)
    border = np.concatenate([pictures[:, 0], pictures[:, -1]], axis=1).reshape(-1, 3)
    assert np.median(border, axis=0).min() > 180  # light background around the cells
    assert pictures[:, 28:36, 28:36].mean() < np.median(border) - 30


def test_tecom_bmp_and_the_scale_of_its_cells(tmp_path):
    labels = pd.read_csv(SHARED / "wbc-tecom" / "labels.csv")
    rows = labels.rename(columns={"file": "member", "label": "code", "class": "label"})
    rows.insert(0, "cell", rows["member"].str.extract(r"(\d+)\.bmp$"))
    cells = read_cells(table(tmp_path, rows, archive="wbc-tecom/cells.zip"))
    pictures = read(cells)
    assert all(map(is_picture, pictures)) and len(pictures) == 300
    with zipfile.ZipFile(SHARED / "wbc-tecom" / "cells.zip") as archive, archive.open(cells["member"][0]) as file:
        original = np.asarray(Image.open(file).convert("RGB"))
    np.testing.assert_array_equal(read(cells.head(1), edge_px=120)[0], original)
    # The cell fills 70 % of these crops and 40 % of Acevedo's: cropping the latter to 0.57 brings them to one scale.
    others = acevedo(tmp_path).iloc[::20]
    here, whole, cropped = (nucleus_share(found) for found in (pictures, read(others), read(others, crop=0.57)))
    assert whole < 0.6 * here and cropped > 2.5 * whole
    assert abs(np.log(cropped / here)) < 0.5 * abs(np.log(whole / here))


def nucleus_share(pictures: list[np.ndarray]) -> float:
    """Median over pictures of the share of pixels that are dark in the red channel, as nuclei are."""
    reds = [picture[..., 0].astype(float) for picture in pictures]
    return float(np.median([(red < 0.62 * np.percentile(red, 90)).mean() for red in reds]))


def test_bccd_boxes(tmp_path):
    boxes = pd.read_csv(SHARED / "bccd" / "boxes.csv").rename(columns={"file": "member", "class": "label"})
    boxes.insert(0, "cell", [f"box{number}" for number in range(len(boxes))])
    boxes["patient"] = boxes["member"].str.removesuffix(".jpg")
    chosen = boxes[boxes["member"].isin([*boxes["member"].unique()[:12], "BloodImage_00343.jpg"])]
    cells = read_cells(table(tmp_path, chosen, archive="bccd/fields.zip"))
    pictures = read(cells, edge_px=48)
    refused = [
        (cell, picture) for cell, picture in zip(cells["cell"], pictures, strict=True) if not is_picture(picture)
    ]
    assert [(cell, refusal.status) for cell, refusal in refused] == [("box2636", "bad_box")]
    assert "181, 329, 181, 329 has no area" in refused[0][1].reason
    good = [(label, picture) for label, picture in zip(cells["label"], pictures, strict=True) if is_picture(picture)]
    white, red = (np.mean([p[16:32, 16:32, 0].mean() for label, p in good if label == kind]) for kind in ("WBC", "RBC"))
    assert white < red - 25  # nuclei take up red light


def is_picture(found: np.ndarray | Refusal) -> bool:
    return isinstance(found, np.ndarray)


def test_chula_centres_up_to_the_border(tmp_path):
    labels = pd.read_csv(SHARED / "chula-rbc12" / "labels.csv").rename(columns={"file": "member", "type_name": "label"})
    labels.insert(0, "cell", [f"c{number}" for number in range(len(labels))])
    cells = read_cells(table(tmp_path, labels.assign(size_px=80), archive="chula-rbc12/fields.zip"))
    over = (cells[["xmin", "ymin"]] < 0).any(axis=1) | (cells["xmax"] > 640) | (cells["ymax"] > 480)
    assert over.sum() > 100
    pictures = read(cells, edge_px=80)
    assert all(map(is_picture, pictures))
    at = int(np.flatnonzero(~over)[0])
    with zipfile.ZipFile(SHARED / "chula-rbc12" / "fields.zip") as archive, archive.open(cells["member"][at]) as file:
        field = np.asarray(Image.open(file).convert("RGB"))
    left, top = (int(cells[side][at]) for side in ("xmin", "ymin"))
    np.testing.assert_array_equal(pictures[at], field[top : top + 80, left : left + 80])
    corner = int(np.flatnonzero(cells["xmin"] < -10)[0])
    filled = pictures[corner][:, : int(-cells["xmin"][corner]) - 1].reshape(-1, 3)
    assert len(np.unique(filled, axis=0)) == 1  # one colour to the left of the field


def test_the_demo_tiff():
    with PictureReader(edge_px=288, crop=1.0) as reader:
        picture = reader.read(Place(str(SHARED / "demo-cell" / "demo_cell.tif")))
    with Image.open(SHARED / "demo-cell" / "demo_cell.tif") as image:
        assert image.size == (288, 288)
        np.testing.assert_array_equal(picture, np.asarray(image.convert("RGB")))
    assert picture.std() > 20


def test_twenty_real_cells_through_a_real_network(tmp_path):
    cells = acevedo(tmp_path).groupby("label").head(2).head(20)
    broken = cells.iloc[:1].assign(cell="lost", member="nothing.jpg")
    cells = pd.concat([cells, broken], ignore_index=True)
    settings = Cells(encoder="efficientnet_lite0", block=-2)
    counts = embed_shard(
        cells, out_h5=tmp_path / "s.h5", settings=settings, crop=0.8, on_error="continue", device="cpu", batch=8,
        read_workers=2,
    )  # fmt: skip
    assert counts == {"ok": 20, "missing_file": 1}
    tokens = Tokens(cell_blocks(str(tmp_path / "s.h5")))
    assert (tokens.dim, tokens.n_tokens) == (112, 20 * 14 * 14)
    images = images_of_cells(cells, patients=None, shards=[tmp_path / "s.h5"], attributes=["cell_size"])
    assert images.set_index("image").loc["lost", "status"] == "missing_file"
    with h5py.File(tmp_path / "s.h5") as file:
        features, names = file["features"][:], file["cell"].asstr()[:]
    kinds = cells.set_index("cell")["label"].loc[names].to_numpy()
    near = features @ features.T / np.outer(*(2 * [np.linalg.norm(features, axis=1)]))
    same = kinds[:, None] == kinds
    np.fill_diagonal(same, False)
    assert near[same].mean() > near[kinds[:, None] != kinds].mean() + 0.03  # cells of a type look alike to the network
