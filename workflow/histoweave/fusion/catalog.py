"""The models by name, with what each reads and needs. Imports neither torch nor scikit-learn: the Snakefile reads it."""

from __future__ import annotations

from dataclasses import dataclass

from histoweave.errors import InputError, nearest

IMAGE = "image"
EXPRESSION = "expression"
MODALITIES = (IMAGE, EXPRESSION)


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
    """

    name: str
    modalities: frozenset[str]
    title: str
    needs: tuple[str, ...] = ()
    tolerates_missing: bool = False
    neural: bool = False

    @property
    def refitted(self) -> bool:
        """Whether the weights of the model are fitted to training and validation patients together in the end."""
        return self.name.startswith("logistic_")

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


_RNA = frozenset({EXPRESSION})
_BOTH = frozenset(MODALITIES)

register(ModelInfo("majority", frozenset(), "most frequent class", tolerates_missing=True))
register(ModelInfo("best_gene", _RNA, "single best gene"))
register(ModelInfo("logistic_expression", _RNA, "logistic regression on RNA"))
register(ModelInfo("image", frozenset({IMAGE}), "image alone", neural=True))
register(ModelInfo("expression", _RNA, "RNA alone", neural=True))
register(ModelInfo("concat", _BOTH, "concatenation of image and RNA", neural=True))
register(
    ModelInfo(
        "late_mean",
        _BOTH,
        "untrained mean of image and RNA",
        needs=("image", "expression"),
        tolerates_missing=True,
    )
)
register(ModelInfo("cross_attention", _BOTH, "cross-attention of image and RNA", tolerates_missing=True, neural=True))
