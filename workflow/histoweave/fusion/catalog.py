"""The models by name, with what each reads and needs. Imports neither torch nor scikit-learn: the Snakefile reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from histoweave.errors import InputError, nearest

IMAGE = "image"
EXPRESSION = "expression"
MODALITIES = (IMAGE, EXPRESSION)
OWN = "none"  # in a table of exchanged modalities: none was


@dataclass(frozen=True)
class ModelInfo:
    """One entry of the catalog.

    Attributes
    ----------
    name : key in `fusion.models` and folder name.
    modalities : the modalities that can change the prediction.
    needs : models of the same fold that must be fitted first.
    tolerates_missing : predicts (and trains on) patients that lack some of `modalities`.
    neural : trained in epochs, with early stopping on the validation patients.
    title : plain words for the report.
    complexity : 0 for the simplest; among models that are not worse than the best, the lowest is recommended.
    genes : log2 values as the model takes them: `standardised` (mean 0 and variance 1 over the training patients),
        `centred` (on the training median, so that a patient's genes can be ranked against each other as deviations),
        `raw` (as they are, so that the order within a patient is that of the values).
    refitted : whether its weights are fitted to training and validation patients together in the end.
    pooled : whether it reads nothing of a patient's tiles but their mean.
    own_settings : keys of the section `fusion` that this model alone reads; each names a file.
    """

    name: str
    modalities: frozenset[str]
    title: str
    needs: tuple[str, ...] = ()
    tolerates_missing: bool = False
    neural: bool = False
    complexity: int = 0
    genes: Literal["standardised", "centred", "raw"] = "standardised"
    refitted: bool = False
    pooled: bool = False
    own_settings: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The module that builds and fits it; `histoweave.fusion.models` says what it holds."""
        return f"histoweave.fusion.models.{self.name}"

    def handles(self, *, has_image: bool, has_expression: bool) -> bool:
        """True if the model can predict a patient with these modalities."""
        present = {m for m, has in ((IMAGE, has_image), (EXPRESSION, has_expression)) if has}
        if self.tolerates_missing:
            return not self.modalities or bool(self.modalities & present)
        return self.modalities <= present


_CATALOG: dict[str, ModelInfo] = {}


def register(info: ModelInfo) -> None:
    """Add a model to the catalog.

    Raises
    ------
    ValueError
        if the name is taken, a modality is unknown, or a needed model is not in the catalog yet.
    """
    if info.name in _CATALOG:
        raise ValueError(f"model '{info.name}' is in the catalog already")
    if not info.modalities <= set(MODALITIES):
        raise ValueError(f"model '{info.name}' reads an unknown modality; known are {', '.join(MODALITIES)}")
    if missing := [name for name in info.needs if name not in _CATALOG]:
        raise ValueError(f"model '{info.name}' needs '{missing[0]}', which is not in the catalog")
    _CATALOG[info.name] = info


def names() -> tuple[str, ...]:
    """All model names, in the order of the catalog: references first, fusion last."""
    return tuple(_CATALOG)


def get(name: str) -> ModelInfo:
    """The entry of that name.

    Raises
    ------
    InputError
        with the nearest known name.
    """
    if name not in _CATALOG:
        raise InputError(
            f"fusion.models: unknown model '{name}'{nearest(name, _CATALOG)}; known are {', '.join(_CATALOG)}"
        )
    return _CATALOG[name]


def modules_of(name: str) -> tuple[str, ...]:
    """The modules that decide what a model does: its own, and those of the models that it is made of, directly or not."""
    info = get(name)
    return (info.module, *(module for needed in info.needs for module in modules_of(needed)))


def modules() -> tuple[str, ...]:
    """The modules of all models."""
    return tuple(info.module for info in _CATALOG.values())


_RNA = frozenset({EXPRESSION})
_IMAGE = frozenset({IMAGE})
_BOTH = frozenset(MODALITIES)

register(ModelInfo("majority", frozenset(), "class prevalence of the training patients", tolerates_missing=True))
register(ModelInfo("best_gene", _RNA, "single best gene", complexity=1))
register(ModelInfo("top_pairs", _RNA, "top-scoring gene pairs", complexity=2, genes="raw"))
register(
    ModelInfo("centroid", _RNA, "nearest centroid on RNA", complexity=3, genes="centred", own_settings=("centroids",))
)
register(ModelInfo("logistic_expression", _RNA, "logistic regression on RNA", complexity=4, refitted=True))
register(
    ModelInfo(
        "logistic_image", _IMAGE, "logistic regression on mean tile features", complexity=4, refitted=True, pooled=True
    )
)
register(
    ModelInfo(
        "logistic_both",
        _BOTH,
        "logistic regression on image, RNA and their products",
        complexity=5,
        refitted=True,
        pooled=True,
    )
)
register(ModelInfo("image", _IMAGE, "image alone", neural=True, complexity=6))
register(ModelInfo("expression", _RNA, "RNA alone", neural=True, complexity=6))
register(ModelInfo("concat", _BOTH, "concatenation of image and RNA", neural=True, complexity=8))
register(
    ModelInfo(
        "late_mean",
        _BOTH,
        "untrained mean of image and RNA",
        needs=("image", "expression"),
        tolerates_missing=True,
        complexity=7,
    )
)
register(
    ModelInfo(
        "cross_attention",
        _BOTH,
        "cross-attention of image and RNA",
        tolerates_missing=True,
        neural=True,
        complexity=9,
    )
)
