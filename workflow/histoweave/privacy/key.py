"""The key of the pseudonyms: from the environment, never from a file, never written."""

from __future__ import annotations

import itertools
import os

from histoweave.errors import InputError

# Ids can be guessed (TCGA's are a public list), so whoever guesses the key can undo all pseudonyms.
MIN_KEY_CHARACTERS = 16
# So many characters must not follow from those before them.
_MIN_FREE_CHARACTERS = 12
_HOW = 'such as one of `python -c "import secrets; print(secrets.token_hex(32))"`'


def read_key(key_env: str) -> bytes:
    """The key in the environment variable `key_env`.

    Raises
    ------
    InputError
        if it is not set, too short to resist guessing, or made so that it can be guessed. The key is not repeated.
    """
    key = os.environ.get(key_env, "").strip()
    problem = _weakness(key)
    if problem:
        raise InputError(
            f"config: privacy.pseudonyms is on, and the environment variable {key_env} {problem}; set it to a key that "
            f"is kept secret, {_HOW}"
        )
    return key.encode()


def _weakness(key: str) -> str:
    """What makes a key easy to guess; empty for a good one."""
    if not key:
        return "is not set"
    if len(key) < MIN_KEY_CHARACTERS:
        return f"has {len(key)} characters, fewer than {MIN_KEY_CHARACTERS}"
    if key.strip("${}%") in os.environ:
        return "holds the name of an environment variable, not a key"
    if any("/" in place and os.path.exists(place) for place in key.split(os.pathsep)):
        return "holds paths of this machine, not a key"
    if "token_hex" in key:
        return "holds the command that makes a key, not a key"
    free = _free_characters(key)
    if free < _MIN_FREE_CHARACTERS:
        return f"repeats itself or counts up or down: only {free} of its {len(key)} characters are new"
    return ""


def _free_characters(key: str) -> int:
    """How many characters do not follow from those before: they continue no row (aaa, 123, cba) and no piece of three
    characters that was there before, in capitals or not."""
    text = key.lower()
    steps = [ord(one) - ord(other) for other, one in itertools.pairwise(text)]
    in_a_row = (
        place > 1 and abs(steps[place - 1]) <= 1 and steps[place - 1] == steps[place - 2] for place in range(len(text))
    )
    said_before = (place > 1 and text[place - 2 : place + 1] in text[:place] for place in range(len(text)))
    return sum(not (row or before) for row, before in zip(in_a_row, said_before, strict=True))
