"""Are the classes, or the genes, of a cohort those of PAM50?"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from histoweave.expression.genes import PAM50, missing_pam50

# Names of the intrinsic subtypes in lower case, words apart by single spaces; longer spellings first.
_SPELLINGS = {
    "LumA or LumB": r"lum(?:inal)? ?a ?b", "LumA": r"lum(?:inal)? ?a", "LumB": r"lum(?:inal)? ?b", "Luminal": r"lum(?:inal)?",
    "Her2-enriched": r"(?:her ?2|erbb2) ?(?:e|enriched|like)", "Her2": r"her ?2|erbb2",
    "Basal": r"basal(?: ?like)?", "Normal": r"norm(?:al)?(?: ?like)?", "Claudin-low": r"claudin ?low",
}  # fmt: skip
_NAME = re.compile(
    "|".join(f"(?P<n{place}>(?:{spelling})(?= |$))" for place, spelling in enumerate(_SPELLINGS.values()))
)
_BEFORE = re.compile(r"(?:(?:brca|pam50|breast|subtype|non|not) )*")
_BETWEEN = re.compile(r" (?:(?:and|or) )?(?:non |not )?")
_AFTER = re.compile(r"(?: (?:subtype|type))?$")
_REMAINDER = {"other", "others", "rest", "remaining"}
# Of these one alone may be something else: normal tissue, a receptor's status, a subtype of another organ.
_OF_OTHERS_TOO = {"Luminal", "Her2", "Normal"}
_MOST = 0.8  # of a panel, and of PAM50


def subtypes_in(label: str) -> frozenset[str]:
    """The intrinsic subtypes that a class name is made of, such as two of `Basal_Her2`; empty for any other name."""
    if re.search(r"(?:\+|-|−)\s*$", label):  # HER2+ is a receptor's status
        return frozenset()
    words = " ".join(re.findall(r"[a-z0-9]+", re.sub(r"([a-z])([AB])\b", r"\1 \2", label).lower()))
    before = _BEFORE.match(words)
    assert before is not None  # of nothing at all, too
    found, at = set(), before.end()
    while name := _NAME.match(words, at):
        found.add(list(_SPELLINGS)[int(str(name.lastgroup)[1:])])
        if _AFTER.match(words, name.end()):
            return frozenset(found)
        between = _BETWEEN.match(words, name.end())
        if not between:
            break
        at = between.end()
    return frozenset()


def are_pam50_classes(classes: Collection[str]) -> bool:
    """Whether every class is named after intrinsic subtypes, one perhaps after the rest.

    At least one has to bear a name that is that of an intrinsic subtype only, or two different names have to occur.
    """
    named = [label for label in classes if label.strip().lower() not in _REMAINDER]
    subtypes = [subtypes_in(label) for label in named]
    if not named or not all(subtypes):
        return False
    every = frozenset().union(*subtypes)
    return len(every) > 1 or bool(every - _OF_OTHERS_TOO)


def are_pam50_genes(genes: Iterable[str]) -> bool:
    """Whether a list of genes is PAM50's: most of it is, and most of PAM50 is in it. Symbols, Ensembl or Entrez ids."""
    genes = set(genes)
    present = len(PAM50) - len(missing_pam50(genes))
    return present >= _MOST * len(PAM50) and present >= _MOST * len(genes)
