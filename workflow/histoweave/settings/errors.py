"""What is said of a wrong configuration: one line, of the first mistake that matters."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, get_args, get_origin
from unicodedata import category

import pydantic
from pydantic import BaseModel

from histoweave.errors import InputError, nearest, short

# A configuration of a thousand cohorts is far below these.
MAX_VALUES, MAX_DEPTH, MAX_CHARACTERS = 100_000, 30, 10_000
_CONTROL = ("Cc", "Cs")  # of Unicode; Python calls half a pair of UTF-16 one too
_QUOTES = "put it in quotes, exactly as in the table"


def check_form(raw: Any, *, file: str) -> None:
    """Refuse what is too large or nested too deeply to be a configuration, and texts of more than one line, before
    anything else looks at it.

    A few lines of YAML stand for as many values as one likes where anchors are used again; each use counts.

    Raises
    ------
    InputError
        saying so.
    """
    waiting = [(raw, 1)]
    seen = 0
    while waiting:
        value, depth = waiting.pop()
        parts = [*value.keys(), *value.values()] if isinstance(value, Mapping) else value
        if isinstance(value, str) and len(value) > MAX_CHARACTERS:
            raise InputError(f"{file}: holds a text of {len(value)} characters, {short(value)}; shorten it")
        if isinstance(value, str) and any(category(each) in _CONTROL for each in value):
            raise InputError(f"{file}: {short(value)} holds a line break or a control character; remove it")
        if isinstance(value, str | bytes) or not isinstance(parts, list | tuple | set | frozenset):
            continue
        seen += len(parts)
        if depth > MAX_DEPTH or seen > MAX_VALUES:
            problem = (
                f"is nested more than {MAX_DEPTH} deep" if depth > MAX_DEPTH else f"holds over {MAX_VALUES} values"
            )
            raise InputError(
                f"{file}: {problem}, which no configuration needs; write out what YAML anchors (&, *) repeat, and name "
                "tables in place of their rows"
            )
        waiting.extend((part, depth + 1) for part in parts)


def explain(error: pydantic.ValidationError, model: type[BaseModel], *, file: str) -> InputError:
    """The error for the user of what `model`, the whole configuration, refused."""
    # A misspelt key is named before the key that it leaves missing.
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
    return InputError(_sentence(problems[0], model, file=file) + more)


def _sentence(problem: Mapping[str, Any], model: type[BaseModel], *, file: str) -> str:
    path, value = problem["loc"], problem["input"]
    of_name = bool(path) and path[-1] == "[key]"
    shown = ".".join(_part(part) for part in (path[:-2] if of_name else path))
    if problem["type"] == "extra_forbidden":
        section = _section(model, path[:-1])
        known = list(section.model_fields) if section else []
        return f"{file}: unknown key '{shown}'{nearest(_part(path[-1]), known)}; known here: {', '.join(known)}"
    if problem["type"] == "missing":
        return f"{file}: key '{shown}' is missing; add it (see config/README.md)"
    what = f"{file}: a name below key '{shown}'" if of_name else f"{file}: key '{shown}'"
    if problem["type"] == "string_type" and (read := _read_as(value)):
        return f"{what} is {read}, where a text is expected; {_QUOTES}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{what} is {short(value)}: {message[0].lower()}{message[1:]}"


def _part(part: object) -> str:
    return short(str(part))[1:-1]


def _read_as(value: Any) -> str:
    """What YAML made of a text without quotes; empty for what is no such thing."""
    if isinstance(value, bool):
        words = "yes, on or true" if value else "no, off or false"
        return f"{str(value).lower()} (YAML reads {words} so)"
    if isinstance(value, int | float):
        return f"the number {short(value)} (YAML reads digits so, without leading zeros)"
    if isinstance(value, datetime.date):
        return f"the date {value}"
    return "empty (YAML reads null, ~ and nothing so)" if value is None else ""


def _section(model: type[BaseModel], path: tuple) -> type[BaseModel] | None:
    """The section model at a key path, None where the path leaves the models."""
    if not path:
        return model
    key, *rest = path
    if key not in model.model_fields:
        return None
    annotation = model.model_fields[key].annotation
    if get_origin(annotation) is dict:
        rest = rest[1:]
    sections = [each for each in (annotation, *get_args(annotation)) if _is_section(each)]
    return _section(sections[0], tuple(rest)) if sections else None


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
