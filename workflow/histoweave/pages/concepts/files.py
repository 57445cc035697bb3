"""The files of a run as the page of concepts reads them, and the pictures behind its images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from histoweave.cells.cohort import CellCohort
from histoweave.cells.pictures import PictureReader, places_of
from histoweave.pages.concepts.inputs import CohortFiles, Picture
from histoweave.privacy.share import is_text
from histoweave.storage.pictures import open_picture
from histoweave.storage.records import artefacts

# Larger than it is shown, for screens with small pixels.
_PICTURE_PX = 176


def cohort_files(
    name: str, *, root: str, images: str, tokens: Sequence[str], external: bool, picture: Picture | None
) -> CohortFiles:
    """The files of one cohort.

    root: folder of what the dictionary found in the cohort, `results/<cohort>/sae/<source>/on/<name>`.
    tokens: shards of cells (.h5), or indexes of shards of tile features (.json).
    """
    tables = ["concepts", "top_images", "associations"]
    if external:
        tables += ["transfer", "transfer_classes", "shift", "shift_concepts"]
    slides = artefacts(path for path in tokens if path.endswith(".json"))
    return CohortFiles(
        name=name,
        images=Path(images),
        activations=Path(root, "activations.h5"),
        shards=[Path(path) for path in tokens if path.endswith(".h5")],
        features={slide: Path(path) for slide, path in slides.items()},
        picture=picture,
        **{table: Path(root, f"{table}.parquet") for table in tables},
    )


def pictures_of_cells(cohort: CellCohort) -> Picture | None:
    """The pictures of cells, cut out as the encoder saw them; None for embeddings made elsewhere."""
    if cohort.input.embeddings:
        return None
    reader = PictureReader(edge_px=_PICTURE_PX, crop=cohort.input.crop)
    places = dict(zip(cohort.items, places_of(cohort.rows), strict=True))

    def picture(cell: str) -> Image.Image:
        return Image.fromarray(reader.read(places[cell]))

    return picture


def pictures_of_slides(folder: Path, *, texts: bool = True) -> Picture:
    """The thumbnails that tiling made; None for a slide without one.

    texts: also pictures that are a message of the tiling, with the slide's id in it.
    """

    def picture(slide: str) -> Image.Image | None:
        path = folder / f"{slide}.png"
        if not path.is_file():
            return None
        with open_picture(path) as found:
            return None if not texts and is_text(found) else found.copy()

    return picture
