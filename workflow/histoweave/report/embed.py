"""Pictures inside the page: SVG that follows the page's theme, thumbnails as small JPEG data URIs."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

from markupsafe import Markup, escape
from PIL import Image

from histoweave.report.style import THEME

THUMBNAIL_PX = 300


def inline_svg(path: Path, *, prefix: str, alt: str) -> Markup:
    """The `<svg>` element of a file of `draw_figures`, to stand inside HTML.

    Ids get `prefix`, so that two figures of a page never share one; metadata and namespaces (not needed in
    HTML) are dropped; the palette becomes the page's CSS variables and the font the page's font. `alt` is the
    accessible name.

    Raises
    ------
    ValueError
        if the file holds no SVG.
    """
    text = path.read_text(encoding="utf-8")
    found = re.search(r"<svg\b[^>]*?viewBox=\"0 0 ([\d.]+) ([\d.]+)\"[^>]*>(.*)</svg>", text, flags=re.DOTALL)
    if not found:
        raise ValueError(f"{path} holds no SVG with a viewBox")
    width, height, body = found.groups()
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'(url\(#|href="#)', rf"\1{prefix}-", body)
    body = re.sub(r"(?<=px )'DejaVu Sans'[^;\"]*|(?<=font-family: )'DejaVu Sans'[^;\"]*", "var(--font)", body)
    for colour, name in THEME.items():
        body = body.replace(colour, f"var({name})")
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(alt)}" '
        f'style="max-width:{float(width) * 1.65:.0f}px">{body}</svg>'
    )


def thumbnail_uri(path: Path) -> str:
    """A picture as a JPEG data URI, longest edge at most `THUMBNAIL_PX`."""
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=72, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
