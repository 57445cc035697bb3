"""Pages from templates: everything escaped, styles and scripts inside the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from histoweave.pages.kit.csp import csp_hash

_KIT = Path(__file__).parent
_STYLES, _SCRIPTS = ("page.css",), ("tables.js", "page.js")


def render(
    template: str,
    *,
    folder: Path,
    styles: tuple[str, ...] = (),
    scripts: tuple[str, ...] = (),
    script_hashes: tuple[str, ...] = (),
    **content: Any,
) -> str:
    """A page of `content` from a template in `folder`, which may include those of its subfolders, extend the layout and use
    the macros of this folder.

    Parameters
    ----------
    styles, scripts: files of `folder` that follow those which all pages share.
    script_hashes: of the scripts that the page's own script may add (see `csp.csp_hash`); no other script runs.

    Raises
    ------
    jinja2.UndefinedError
        if the template names what `content` does not hold.
    """
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, *inner, _KIT]), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    css = _joined([*(_KIT / name for name in _STYLES), *(folder / name for name in styles)])
    js = _joined([*(_KIT / name for name in _SCRIPTS), *(folder / name for name in scripts)])
    hashes = Markup(" ".join([csp_hash(js), *script_hashes]))
    return environment.get_template(template).render(css=css, js=js, script_hashes=hashes, **content)


def _joined(files: list[Path]) -> Markup:
    return Markup("\n".join(file.read_text(encoding="utf-8") for file in files))
