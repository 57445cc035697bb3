"""What a file says of how its slide was lit: the models are made for stained tissue in transmitted light."""

from __future__ import annotations

import re
from collections.abc import Mapping

from histoweave.storage.refusal import Refusal

# Properties that state the kind of microscopy: `mirax.GENERAL.SLIDE_TYPE`, `leica.illumination-source`, DICOM's optical
# path, contrast method and illumination type of Zeiss. Not names and comments, where people write what they like.
_STATES_IT = re.compile(r"slide.?type|illumination|optical.?path|contrast.?method|imaging.?mode", re.IGNORECASE)
_NOT_BRIGHTFIELD = re.compile(r"fluoresc|dark.?field", re.IGNORECASE)
# OME-XML, which OpenSlide passes on as the description of a TIFF.
_DESCRIPTIONS = ("tiff.ImageDescription", "openslide.comment")
_OME = re.compile(r'(?:ContrastMethod|IlluminationType)\s*=\s*"([^"]*(?:fluoresc|dark.?field)[^"]*)"', re.IGNORECASE)
_LONGEST = 80


def not_brightfield(properties: Mapping[str, str]) -> Refusal | None:
    """The refusal `not_brightfield` of a file that calls itself fluorescence or darkfield; None for all others."""
    for key, value in properties.items():
        if _STATES_IT.search(key) and _NOT_BRIGHTFIELD.search(value):
            return _refusal(key, value)
    for key in _DESCRIPTIONS:
        if stated := _OME.search(properties.get(key, "")):
            return _refusal(key, stated[1])
    return None


def _refusal(key: str, value: str) -> Refusal:
    return Refusal("not_brightfield", f"the file calls itself {value[:_LONGEST]} ({key[:_LONGEST]}), not brightfield")
