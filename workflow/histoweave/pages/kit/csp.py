"""Which scripts a page may run: those whose hash its content security policy names, and no other."""

from __future__ import annotations

import base64
import hashlib


def csp_hash(script: str) -> str:
    """`'sha256-…'` of an inline script, as `script-src` of a content security policy asks for it (W3C CSP 3)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')}'"
