"""The cohorts of the family: what differs between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

# What the label follows from. `both`: positive only with both factors, as in the demo; `interaction`: positive with one of
# the two but not with both, so that neither modality alone tells anything; `site`: nothing but the site.
KINDS = ("image", "rna", "sum", "both", "interaction", "weak", "none", "site")
TEXTURES = ("glands", "sheets", "fibres")
ALIKE = ("image", "rna", "sum", "interaction", "none")  # factors are drawn alike: such cohorts differ in the label only
WEAK = 0.35  # strength of both factors in the kind `weak`


@dataclass(frozen=True)
class Member:
    """One cohort.

    Attributes
    ----------
    kind : one of `KINDS`.
    texture : one of `TEXTURES`: what the tissue looks like, and what the image factor changes in it.
    n_patients, n_genes, n_sites : sizes.
    stain_spread : how far the sites' stains differ, 0 to 1.
    strength : of both factors, 1 being as clear as in the demo.
    seed : of everything that is drawn.
    """

    kind: str
    texture: str = "glands"
    n_patients: int = 72
    n_genes: int = 1500
    n_sites: int = 6
    stain_spread: float = 0.3
    strength: float = 1.0
    seed: int = 1

    @property
    def name(self) -> str:
        """As on the command line: kind, texture, number of patients, and the seed where it is not 1."""
        return f"{self.kind}-{self.texture}-{self.n_patients}" + (f"-{self.seed}" if self.seed != 1 else "")

    @property
    def drawn_as(self) -> Member:
        """The cohort whose slides and RNA are this one's too; the labels are its own."""
        return replace(self, kind="interaction") if self.kind in ALIKE else self


def _family() -> tuple[Member, ...]:
    members = [Member(kind) for kind in KINDS]
    members += [Member(kind, "sheets", n_genes=6000, stain_spread=0.6, seed=2) for kind in KINDS]
    members += [
        Member(kind, "fibres", n_genes=600, n_sites=9, seed=3) for kind in ("interaction", "sum", "none", "site")
    ]
    members += [Member(kind, "sheets", 150, n_sites=10, seed=4) for kind in ("interaction", "both", "weak", "none")]
    members += [
        Member(kind, "glands", 400, n_genes=8000, n_sites=14, seed=5) for kind in ("interaction", "sum", "none")
    ]
    members += [Member(kind, "glands", 50, n_sites=4, seed=6) for kind in ("image", "interaction", "none")]
    return tuple(members)


FAMILY = _family()


def member(name: str) -> Member:
    """The cohort of that name.

    Raises
    ------
    ValueError
        with the names there are.
    """
    found = {one.name: one for one in FAMILY}
    if name not in found:
        raise ValueError(f"no cohort is called '{name}'; there are {', '.join(found)}")
    return found[name]
