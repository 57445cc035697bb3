"""The key of the pseudonyms: from the environment, never from a file, never written."""

from __future__ import annotations

import hmac
import os

from histoweave.errors import InputError
from histoweave.privacy_config import Privacy

# Ids can be guessed (TCGA's are a public list), so whoever guesses the key can undo all pseudonyms.
MIN_KEY_CHARACTERS = 16


def read_key(key_env: str) -> bytes:
    """The key in the environment variable `key_env`.

    Raises
    ------
    InputError
        if it is not set or too short to resist guessing.
    """
    key = os.environ.get(key_env, "").strip()
    if len(key) < MIN_KEY_CHARACTERS:
        problem = f"has {len(key)} characters, fewer than {MIN_KEY_CHARACTERS}" if key else "is not set"
        raise InputError(
            f"config: privacy.pseudonyms is on, and the environment variable {key_env} {problem}; set it to a key that "
            'is kept secret, such as one of `python -c "import secrets; print(secrets.token_hex(32))"`'
        )
    return key.encode()


def privacy_params(settings: Privacy, *, required: bool = True) -> dict[str, str | list[str]]:
    """What a rule of a shared artefact is told: nothing without pseudonyms, or `key_env`, `key` (a fingerprint) and
    `columns`.

    Another key makes shared artefacts anew, and the fingerprint does not tell the key.

    Parameters
    ----------
    required : refuse a missing key. A job that shares nothing may run where the key is unknown.

    Raises
    ------
    InputError
        see `read_key`.
    """
    if not settings.pseudonyms:
        return {}
    try:
        key = read_key(settings.key_env)
    except InputError:
        if required:
            raise
        return {"key_env": settings.key_env, "key": "", "columns": list(settings.columns)}
    fingerprint = hmac.digest(key, b"histoweave: fingerprint of the key", "sha256").hex()
    return {"key_env": settings.key_env, "key": fingerprint[:16], "columns": list(settings.columns)}
