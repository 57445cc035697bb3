"""Pages from templates: everything escaped, styles and scripts of both pages inside the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

_HERE = Path(__file__).parent


def render(
    template: str, *, folder: Path = _HERE, styles: tuple[str, ...] = (), scripts: tuple[str, ...] = (), **content: Any
) -> str:
    """A page of `content` from a template in `folder`, which may extend the layout and use the macros of this folder.

    Parameters
    ----------
    styles, scripts: files of `folder` that follow those which all pages share.

    Raises
    ------
    jinja2.UndefinedError
        if the template names what `content` does not hold.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _HERE]), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    css = [_HERE / "page.css", *(folder / name for name in styles)]
    js = [_HERE / "page.js", *(folder / name for name in scripts)]
    return environment.get_template(template).render(css=_joined(css), js=_joined(js), **content)


def _joined(files: list[Path]) -> Markup:
    return Markup("\n".join(file.read_text(encoding="utf-8") for file in files))
