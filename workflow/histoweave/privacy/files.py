"""Names of the user's files: a file is often called by the patient, so in what is shared its name is an id.

Files of which a table has one per slide or cell are meant. The tables themselves, and the RNA of a whole cohort, are called
by nobody's name; they are shown as the configuration names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_LEAST_STEM = 6
WORD = re.compile(r"[^\W\d_]{4,}")
# Endings by which a word of a reason is known to be a file's name.
_SUFFIXES = (
    "bif|bmp|bz2|csv|czi|dat|dcm|geojson|gif|gz|h5|h5ad|hdf5|ini|jp2|jpe?g|json|lzma|mrxs|ndpi|npy|npz|ome|parquet|pdf|"
    "png|pt|pth|qptiff|safetensors|scn|svs|svslide|tar|tgz|tiff?|tsv|txt|vms|vmu|vsi|webp|xlsx?|xml|xz|ya?ml|zarr|zip|zst"
)  # fmt: skip
_QUOTED = re.compile(rf"(?P<quote>['\"])(?P<inside>[^'\"]*(?:[/\\][^'\"]*|\.(?:{_SUFFIXES})))(?P=quote)", re.IGNORECASE)
_START = r"(?<![\w/\\<])(?:[A-Za-z]:[\\/]|~?/|\.{1,2}/|\\\\)"
# A path to its suffix, blanks included; any other path to its first blank; a name with a suffix.
_PATH = re.compile(
    rf"{_START}[^'\"<>;:]*?\.(?:{_SUFFIXES})(?![\w.])|{_START}[^\s'\"<>,;:()]+|[^\s'\"<>,;:()]+\.(?:{_SUFFIXES})(?!\w)",
    re.IGNORECASE,
)
# A DICOM identifier, which a hospital's archive finds the patient by.
_SERIES = re.compile(r"(?<![\w.])\d+(?:\.\d+){4,}(?![\w.])")


@dataclass(frozen=True)
class FileNames:
    """What a text may call some files by: path, name, and name without suffix unless that is a short or a plain word.

    Attributes
    ----------
    own : such a name → the one slide, cell or patient that it is of.
    shared : such a name of a file that several have (an archive) → the file's name.
    words : names without suffix that are one word of letters with a capital, and a name of the above for each. They may
        as well be a class of the cohort, so they count in reasons only.
    """

    own: dict[str, str] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> FileNames:
        """The names of some files, given as (what it is of, path)."""
        owners: dict[str, set[str]] = {}
        called: dict[str, str] = {}
        words: dict[str, str] = {}
        for owner, path in pairs:
            name = re.split(r"[/\\]", path.rstrip("/\\"))[-1]
            stem = re.sub(rf"(?:\.(?:{_SUFFIXES}))+$", "", name, flags=re.IGNORECASE)
            for form in filter(_tells, (path, name, stem)):
                owners.setdefault(form, set()).add(owner)
                called[form] = name
            if stem != name and stem not in owners and WORD.fullmatch(stem) and not stem.islower():
                words[stem] = name
        own = {form: next(iter(of)) for form, of in owners.items() if len(of) == 1}
        return cls(own, {form: called[form] for form in owners if form not in own}, words)


def _tells(name: str) -> bool:
    """Whether this is no word or number that a sentence has by chance."""
    if re.search(rf"[/\\]|\.(?:{_SUFFIXES})$", name, re.IGNORECASE):
        return True
    return len(name) >= _LEAST_STEM and re.fullmatch(r"[^\W\d_]+|[\d.,]+", name) is None


def without_files(text: str, issued: re.Pattern[str]) -> str:
    """A reason in which whatever looks like a file is called `a file`, or by the pseudonym that stands in it.

    Reasons quote what a library said of files that no table names: companions of a slide, members of an archive.

    Parameters
    ----------
    issued : matches a pseudonym.
    """

    def shown(found: re.Match[str]) -> str:
        given = issued.search(found[0])
        return given[0] if given else "a file"

    named = re.sub(r"\ba file(?: a file)+", "a file", _PATH.sub(shown, _QUOTED.sub(shown, text)))
    return _SERIES.sub("a series", named)
