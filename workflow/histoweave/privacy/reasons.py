"""Reasons without names of files: they quote what a library said, also of files that no table names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from histoweave.privacy.files import SUFFIXES

_END = rf"\.(?:{SUFFIXES})"
# What stands in quotes; a quote before a letter is an apostrophe of a name.
_QUOTED = re.compile(
    r"(?<!\w)(?P<quote>['\"])(?P<inside>(?:(?!(?P=quote)).|(?P=quote)(?=[-.]?\w))+?)(?P=quote)(?![-.]?\w)"
)
_IS_FILE = re.compile(rf"[/\\]|{_END}$", re.IGNORECASE)
# What announces that the quoted is a file, whatever it is called.
_CALLED = re.compile(r"\b(?:director(?:y|ies)|files?|folders?|members?|open) $", re.IGNORECASE)
_START = r"(?<![\w/\\<])(?:[A-Za-z]:[\\/]|~?/|\.{1,2}/|\\\\)"
_PART = r"[^\s'\"<>,;:()]+"
# Words of a name with blanks: they have a capital or a folder in front, or are numbers after such a word.
_BEFORE = rf"(?:(?-i:(?=[^\W\d_a-z]|[^\s'\"<>,;:()]*[/\\])){_PART}\s+(?:\d+\s+)*)*"
_AFTER = r"(?:\s+(?-i:[A-Z][^\s'\"<>,;:()]*|\d+(?![^\s,;:)])|[^\s'\"<>,;:()]*[/\\][^\s'\"<>,;:()]*))*"
# A path to its suffix, or what was opened, blanks included; any other path to its last word; a name with a suffix.
_PATH = re.compile(
    rf"{_START}[^'\"<>;:]*?{_END}(?![\w.])|(?<=open )[^'\"<>;:]*?{_END}(?![\w.])|{_START}{_PART}{_AFTER}|"
    rf"(?<![^\s'\"<>,;:()]){_BEFORE}{_PART}{_END}(?!\w)",
    re.IGNORECASE,
)
# A DICOM identifier, which a hospital's archive finds the patient by.
_SERIES = re.compile(r"(?<![\w.])\d+(?:\.\d+){4,}(?![\w.])")
# Where a reason names a file, whatever the file is called: in quotes, after `open`, and as its subject.
_SUBJECT, _OPENED = (
    re.compile(rf"{start}(?P<inside>[^<>:;]+?)(?=:| cannot| has no |$)") for start in ("^", r"(?<=\bopen )")
)
_TOKEN = re.compile(r"[^\W_]+(?:[-_.]+[^\W_]+)*")
_WORD = re.compile(r"[^\W\d_]{4,}")


def without_files(text: str, issued: re.Pattern[str]) -> str:
    """A reason in which whatever looks like a file is called `a file`, or by the pseudonym that stands in it.

    Parameters
    ----------
    issued : matches a pseudonym.
    """

    def shown(found: re.Match[str]) -> str:
        given = issued.search(found[0])
        return given[0] if given else "a file"

    def unquoted(found: re.Match[str]) -> str:
        called = _CALLED.search(found.string, max(0, found.start() - 20), found.start())
        is_file = _IS_FILE.search(found["inside"]) or (called and not issued.search(found[0]))
        return shown(found) if is_file else found[0]

    named = re.sub(r"\ba file(?: a file)+", "a file", _PATH.sub(shown, _QUOTED.sub(unquoted, text)))
    return _SERIES.sub("a series", named)


def without_names(text: str, names: Mapping[str, str]) -> str:
    """A reason in which names of files that are no words of a sentence, or stand where a file is named, are replaced.

    Parameters
    ----------
    names : name → what stands for it.
    """

    def named(found: re.Match[str]) -> str:
        name = found["inside"]
        return found[0].replace(name, names[name]) if name in names else found[0]

    def token(found: re.Match[str]) -> str:
        if found[0] in names and _is_special(found[0]):
            return names[found[0]]
        return _WORD.sub(
            lambda word: names[word[0]] if word[0] in names and _is_special(word[0]) else word[0], found[0]
        )

    if not names:
        return text
    for place in (_QUOTED, _SUBJECT, _OPENED):
        text = place.sub(named, text)
    return _TOKEN.sub(token, text)


def _is_special(name: str) -> bool:
    """Whether a name is neither a word in lower case nor a number nor one letter."""
    return len(name) > 1 and any(character.isalpha() for character in name) and not (name.isalpha() and name.islower())
