"""plotly.js inside the page: compressed, unpacked by the browser when the first figure comes near the window."""

from __future__ import annotations

import base64
import functools
import gzip

from plotly.offline import get_plotlyjs

from histoweave.pages.kit.csp import csp_hash


@functools.cache
def plotly_js() -> str:
    """plotly.js of the plotly package, gzip in base64: 2 MB in place of 5, and nothing to parse while the page opens."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode("utf-8"), 9, mtime=0)).decode("ascii")


@functools.cache
def plotly_hash() -> str:
    """Its source in the words of a content security policy."""
    return csp_hash(get_plotlyjs())
