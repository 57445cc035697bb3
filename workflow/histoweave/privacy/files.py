"""Names of the user's files: a file is often called by the patient, so in what is shared its name is an id.

Files of which a table has one per slide or cell are meant. The tables themselves, and the RNA of a whole cohort, are called
by nobody's name; they are shown as the configuration names them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from histoweave.privacy.standing import normal, standing_in

_LEAST_STEM = 6
# Endings by which a word is known to be a file's name: of slides and their companions, pictures, archives, tables, arrays.
SUFFIXES = (
    "7z|arrow|arw|avif|bak|bif|bmp|bz2|cr2|csv|czi|dat|dcm|dicom|dng|docx?|dzi|emf|eps|exr|feather|geojson|gif|gz|h5|h5ad|"
    "hdf5?|hei[cf]s?|htj2k|i?syntax|ico|ims|ini|j2[ck]|jfif|jls|jp2|jpe?g?|jp[cfhmx]|json|jxl|kfb|lif|loom|lsm|lzma|mat|"
    "md5|mds|mrxs|mtx|nd2|ndpis?|nii|npy|npz|nrrd|odp|ods|oi[br]|ome|opt|p[abgnp]m|parquet|part|pcx|pdf|pfm|pickle|pkl|"
    "png|pptx?|psd|pt|pth|qoi|qptiff|rar|rds|safetensors|scn|sdpc|svg|svs|svslide|tar|tga|tgz|tiff?|tmp|tsv|txt|"
    "vms|vmu|vsi|webp|wmf|xlsx?|xml|xz|ya?ml|zarr|zip|zst|zvi"
)
_WITH_SUFFIX = re.compile(rf"(?:\.(?:{SUFFIXES}))+$", re.IGNORECASE)


@dataclass(frozen=True)
class UserFiles:
    """Files of the user, and words that may stand in what is shared although a file is called so.

    Attributes
    ----------
    pairs : (slide, cell or patient that it is of, path).
    words : classes, sites, headings and keys of the configuration. An archive is often called by the class of its cells.
    """

    pairs: list[tuple[str, str]] = field(default_factory=list)
    words: frozenset[str] = frozenset()


@dataclass(frozen=True)
class FileNames:
    """What a text may call some files by: path, name, and name without suffix unless that is a short or a plain word.

    Attributes
    ----------
    own : such a name → the one slide, cell or patient that it is of.
    shared : such a name of a file that several have (an archive) → the file's name.
    in_reasons : names that any sentence may have by chance, such as `Anna`, `tumour` and `17` → what they are of, or the
        file's name. They count in reasons only.
    """

    own: dict[str, str] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    in_reasons: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]], *, words: Iterable[str] = ()) -> FileNames:
        """The names of some files; see `UserFiles`. A name without suffix that stands in one of `words` is none."""
        owners: dict[str, set[str]] = {}
        called: dict[str, str] = {}
        for owner, path in pairs:
            name = re.split(r"[/\\]", path.rstrip("/\\"))[-1]
            for form in {path, name, _WITH_SUFFIX.sub("", name)} - {""}:
                owners.setdefault(form, set()).add(owner)
                called[form] = name
        spoken = _spoken([form for form in owners if not _shows(form)], words)
        names = {
            form: next(iter(of)) if len(of) == 1 else called[form]
            for form, of in owners.items()
            if _shows(form) or normal(form) not in spoken
        }
        telling = {form for form in names if _tells(form)}
        return cls(
            own={form: names[form] for form in telling if len(owners[form]) == 1},
            shared={form: names[form] for form in telling if len(owners[form]) > 1},
            in_reasons={form: of for form, of in names.items() if form not in telling},
        )


def _spoken(names: Iterable[str], words: Iterable[str]) -> set[str]:
    """Those of some names (as `normal` makes them) that stand in a word."""
    said = unicodedata.normalize("NFC", "\n".join(words))
    return {normal(name) for name in standing_in(said, names)} if said else set()


def _shows(name: str) -> bool:
    """Whether a folder or a suffix shows that this is a file."""
    return bool(re.search(r"[/\\]", name) or _WITH_SUFFIX.search(name))


def _tells(name: str) -> bool:
    """Whether this is no word or number that a sentence has by chance."""
    return _shows(name) or (len(name) >= _LEAST_STEM and re.fullmatch(r"[^\W\d_]+|[\d.,]+", name) is None)
