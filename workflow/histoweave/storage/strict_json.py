"""JSON that comes from elsewhere: bounded in size and depth, every key once, no NaN, whole characters."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from histoweave.errors import InputError
from histoweave.storage.given_files import objection_to

MAX_DEPTH = 64
MAX_KEYS = 10_000  # of one object
MAX_BYTES = 8 << 20


class NotJson(ValueError):
    """What is wrong with a text that was to be JSON, in a few words."""


def parse(data: bytes, *, constants: bool = False) -> Any:
    """The content of a JSON text.

    Parameters
    ----------
    constants : take `NaN` and `Infinity`, which are not JSON but which Python writes; they are read as null.

    Raises
    ------
    NotJson
        for anything else than one JSON value in UTF-8 (with or without a byte order mark) of at most `MAX_BYTES`, nested at most `MAX_DEPTH` deep, without
        a repeated key, a number that no computer holds, or half a character.
    """
    if len(data) > MAX_BYTES:
        raise NotJson(f"more than {MAX_BYTES >> 20} MB of text")

    def constant(name: str) -> None:
        if not constants:
            raise NotJson(f"{name} is not JSON")

    try:
        content = json.loads(data.decode("utf-8-sig"), parse_constant=constant, object_pairs_hook=_object)
        _check(content)
    except NotJson:
        raise
    except UnicodeDecodeError:
        raise NotJson("not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} in line {error.lineno}") from None
    except (ValueError, RecursionError):
        raise NotJson("a number or a nesting too large to be meant") from None
    return content


def read_object(path: str | os.PathLike, *, mend: str, constants: bool = False) -> dict[str, Any]:
    """The keys and values of a JSON file; `mend` says what to do if it is none.

    Raises
    ------
    InputError
        naming the file: not there, no file, too large, not JSON, or not an object with keys.
    """
    if against := objection_to(path):
        raise InputError(f"{path}: {against}")
    try:
        with Path(path).open("rb") as file:
            content = parse(file.read(MAX_BYTES + 1), constants=constants)
    except NotJson as error:
        raise InputError(f"{path}: not JSON as it should be ({error}); {mend}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; {mend}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a table of keys; {mend}")
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_KEYS:
        raise NotJson(f"more than {MAX_KEYS} keys in one place")
    content = {}
    for key, value in pairs:
        if key in content:
            raise NotJson(f"key '{key[:40]}' occurs twice")
        content[key] = value
    return content


def _check(content: Any) -> None:
    """Depth of the nesting, and that every text can be written again."""
    level = [content]
    for _ in range(MAX_DEPTH + 1):
        texts = [value for value in level if isinstance(value, str)]
        texts += [key for value in level if isinstance(value, dict) for key in value]
        try:
            "".join(texts).encode("utf-8")
        except UnicodeEncodeError:
            raise NotJson("half a character (a lone surrogate)") from None
        inner = (
            value.values() if isinstance(value, dict) else value for value in level if isinstance(value, dict | list)
        )
        level = [value for values in inner for value in values]
        if not level:
            return
    raise NotJson(f"nested more than {MAX_DEPTH} deep")
