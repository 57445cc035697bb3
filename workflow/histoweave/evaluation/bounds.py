"""Intervals where (nearly) every draw is the same, such as those of a model that calls all patients right.

No draw of patients without an error has one, so the interval of the draws has no width, and is too narrow. What bounds it
is that patients of another kind were never seen: among n patients their share in the population is at most

    u(n) = 1 − (α / 2)^(1 / n)

(Clopper & Pearson 1934 with 0 of n; for 95 % about 3.7 / n). The interval is then the value ± room, cut at the range of
the metric: for a share of n that is Clopper and Pearson's own. A model that gives everybody the same probabilities is the
exception: its AUROC is ½ whoever comes, and so are other values that follow from its one call. A metric that ranks or averages over classes changes most
if the unseen patients are of the smallest class, so n is its number of patients: an AUROC of 1 with m patients in the
smaller class has the interval [(α / 2)^(1 / m), 1], the AUROC if a share u(m) of that class were ranked last.
"""

from __future__ import annotations

import numpy as np

from histoweave.evaluation.bootstrap import interval
from histoweave.evaluation.metrics import CLASS_METRICS, METRICS
from histoweave.evaluation.sample import RANKING, Sample

_ROUNDING = 1e-9
# What one and the same answer to everybody decides, whatever the patients.
_OF_ONE_ANSWER = ("auroc", "balanced_accuracy", "mcc", "recall")


def unseen_share(n: np.ndarray | float, *, confidence: float) -> np.ndarray:
    """u(n) of this module; 1 where n is 0."""
    n = np.asarray(n, dtype=np.float64)
    return 1 - np.where(n > 0, ((1 - confidence) / 2) ** (1 / np.maximum(n, _ROUNDING)), 0.0)


def without_width(drawn: np.ndarray, *, confidence: float) -> np.ndarray:
    """Columns (K,) of draws (draws, K) whose interval has no width: so many draws are the same."""
    low, high = interval(drawn, confidence=confidence)
    return high - low <= _ROUNDING  # False where there is no interval


def interval_within(
    drawn: np.ndarray,
    *,
    confidence: float,
    room: np.ndarray | float,
    within: tuple[np.ndarray | float, np.ndarray | float],
) -> tuple[np.ndarray, np.ndarray]:
    """Interval (low, high), each (K,), of draws (draws, K), never without a width and never outside a range.

    Parameters
    ----------
    room : (K,) how far a value may be off if the interval of the draws has no width; 0: not at all.
    within : least and largest possible value, each (K,) or one for all.
    """
    low, high = interval(drawn, confidence=confidence)
    same = high - low <= _ROUNDING
    low, high = np.where(same, low - room, low), np.where(same, high + room, high)
    return np.clip(low, *within), np.clip(high, *within)


def metric_rooms(sample: Sample, names: list[str], *, n_classes: int, confidence: float) -> np.ndarray:
    """`room` of each metric of a sample, (K,): the names are keys of `METRICS`, in the order of the draws."""
    true, exact = _counts(sample, n_classes), _exact(sample)
    return np.array([0.0 if name in exact else _room(name, true, confidence) for name in names])


def class_metric_rooms(sample: Sample, *, n_classes: int, confidence: float) -> np.ndarray:
    """`room` of each metric of `CLASS_METRICS` for each class against the rest, (K · C,)."""
    true, called = _counts(sample, n_classes), _calls(sample, n_classes)
    sizes = {"recall": true, "precision": called}
    smaller, exact = np.minimum(true, true.sum() - true), _exact(sample)
    rooms = {name: unseen_share(sizes.get(name, smaller), confidence=confidence) for name in CLASS_METRICS}
    return np.concatenate([0 * room if name in exact else room for name, room in rooms.items()])


def metric_range(names: list[str], *, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest possible value of metrics of `METRICS`, each (K,)."""
    low, high = zip(*(METRICS[name].range(n_classes) for name in names), strict=True)
    return np.array(low), np.array(high)


def metric_intervals(
    sample: Sample, drawn: np.ndarray, *, n_classes: int, confidence: float, names: list[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`interval_within` of the metrics `names` (default: all of `METRICS`) of a sample."""
    names = list(METRICS) if names is None else names
    return interval_within(
        drawn,
        confidence=confidence,
        room=metric_rooms(sample, names, n_classes=n_classes, confidence=confidence),
        within=metric_range(names, n_classes=n_classes),
    )


def difference_intervals(
    sample: Sample,
    drawn: np.ndarray,
    *,
    n_classes: int,
    confidence: float,
    names: list[str],
    identical: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """`interval_within` of differences of metrics on the patients of a sample; identical: what is compared is the same
    for every patient, so that a difference of 0 is exact."""
    room = 0.0 if identical else metric_rooms(sample, names, n_classes=n_classes, confidence=confidence)
    low, high = metric_range(names, n_classes=n_classes)
    return interval_within(drawn, confidence=confidence, room=room, within=(low - high, high - low))


def identical(one: Sample, other: Sample) -> bool:
    """Whether two models give the same probabilities to every patient."""
    return all(np.array_equal(a.p, b.p) for a, b in zip(one.parts, other.parts, strict=True))


def _exact(sample: Sample) -> tuple[str, ...]:
    """Metrics that are exact where all draws are the same."""
    if all((part.p == part.p[:1]).all() for part in sample.parts):
        return _OF_ONE_ANSWER
    return tuple(RANKING) if all(part.ranks_nobody for part in sample.parts) else ()


def _room(name: str, true: np.ndarray, confidence: float) -> float:
    n = true.sum() if name == "accuracy" else true[true > 0].min()
    room = float(unseen_share(n, confidence=confidence))
    # Calls of one class have a correlation of 0 by convention, and few others move it by the root of their share.
    return room**0.5 if name == "mcc" else room


def _counts(sample: Sample, n_classes: int) -> np.ndarray:
    """Patients of each class, (C,); the first repeat has them all."""
    return np.bincount(sample.parts[0].y, minlength=n_classes)


def _calls(sample: Sample, n_classes: int) -> np.ndarray:
    """How often each class is called, (C,), on average over the repeats."""
    calls = [np.bincount(part.p.argmax(axis=1), minlength=n_classes) for part in sample.parts]
    return np.mean(calls, axis=0)
