"""Which scanner made a slide, as far as OpenSlide's properties tell: maker and model, nothing of a person or a day."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import openslide

# OpenSlide's name of a format that any program can write, and the properties that hold the maker then. TIFF 6.0 calls
# the tags Make and Model manufacturer and model of the scanner.
_MAKER = {"generic-tiff": "tiff.Make", "dicom": "dicom.Manufacturer", "synthetic": ""}
# Properties with a model, the first that is there counts (https://openslide.org/formats and the files' own keys).
# `aperio.ScanScope ID` and its like are serial numbers of one machine and stay out.
_MODEL = {
    "aperio": ("aperio.ScannerType",),
    "dicom": ("dicom.ManufacturerModelName",),
    "generic-tiff": ("tiff.Model",),
    "hamamatsu": ("hamamatsu.Product", "tiff.Model"),
    "leica": ("leica.device-model",),
    "mirax": ("mirax.GENERAL.SCANNER_HARDWARE_VERSION",),
    "philips": ("philips.DICOM_MANUFACTURERS_MODEL_NAME",),
    "ventana": ("ventana.ScannerModel",),
}
_LONGEST = 64  # a model's name; longer text is none


@dataclass(frozen=True)
class Scanner:
    """`vendor` and `model` (empty: unknown) and the nominal magnification of its objective (NaN: unknown)."""

    vendor: str = ""
    model: str = ""
    objective_power: float = math.nan

    def attributes(self) -> dict[str, str | float]:
        """As a tile file holds it."""
        return {
            "scanner_vendor": self.vendor,
            "scanner_model": self.model,
            "objective_power": self.objective_power,
        }


UNKNOWN = Scanner()


def scanner_of(properties: Mapping[str, str]) -> Scanner:
    """The scanner of a slide, from OpenSlide's properties; `UNKNOWN` for a plain picture, which has none.

    `vendor` is OpenSlide's, unless that names a format of many makers: then it is the maker whom the file names.
    """
    form = properties.get(openslide.PROPERTY_NAME_VENDOR, "")
    vendor = _text(properties.get(_MAKER[form])) if form in _MAKER else form
    model = next(filter(None, (_text(properties.get(key)) for key in _MODEL.get(form, ()))), "")
    return Scanner(vendor, model, _power(properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)))


def _text(value: str | None) -> str:
    """One line of text, up to a semicolon (Leica adds a serial number after it); empty for none, or too much of it."""
    text = " ".join((value or "").split(";")[0].split())
    return text if len(text) <= _LONGEST else ""


def _power(value: str | None) -> float:
    try:
        power = float(value or "")
    except ValueError:
        return math.nan
    return power if math.isfinite(power) and power > 0 else math.nan
