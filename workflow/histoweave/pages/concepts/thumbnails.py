"""Small pictures for the page, each kept once however often it is shown."""

from __future__ import annotations

import base64
import io

from PIL import Image

from histoweave.errors import InputError
from histoweave.pages.concepts.inputs import Picture
from histoweave.storage.refusal import Refusal

CELL_PX, SLIDE_PX = 88, 160


class Thumbnails:
    """JPEGs as base64 text in `encoded`; `unreadable` counts the images whose picture is gone or broken."""

    def __init__(self, edge_px: int):
        self.encoded: list[str] = []
        self.unreadable = 0
        self._edge_px = edge_px
        self._place_of_content: dict[str, int] = {}
        self._place_of_image: dict[tuple[str, str], int | None] = {}

    def place(self, cohort: str, image: str, picture: Picture | None) -> int | None:
        """Where the picture of an image of a cohort lies in `encoded`; None if it has none."""
        if (cohort, image) not in self._place_of_image:
            self._place_of_image[cohort, image] = self._add(image, picture)
        return self._place_of_image[cohort, image]

    def _add(self, image: str, picture: Picture | None) -> int | None:
        if picture is None:
            return None
        try:
            found = picture(image)
            if found is None:
                return None
            text = _jpeg(found, self._edge_px)
        except (OSError, InputError, Refusal):  # moved since it was embedded: the page says how many
            self.unreadable += 1
            return None
        place = self._place_of_content.setdefault(text, len(self.encoded))
        if place == len(self.encoded):
            self.encoded.append(text)
        return place


def _jpeg(picture: Image.Image, edge_px: int) -> str:
    """`picture` with its longest edge at `edge_px` at most, as base64 of a JPEG."""
    small = picture.convert("RGB")
    small.thumbnail((edge_px, edge_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=80, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
