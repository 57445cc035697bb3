"""Figures inside the page: SVG that follows the page's theme."""

from __future__ import annotations

import re
from pathlib import Path

from markupsafe import Markup, escape

from histoweave.pages.kit.style import THEME


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
