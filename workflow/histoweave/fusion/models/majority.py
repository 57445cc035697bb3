"""The class prevalence of the training patients, the same for everybody: what no model may fall below."""

from __future__ import annotations

import numpy as np

from histoweave.fusion.models.linear import LinearExpression
from histoweave.fusion.task import Fit, Task
from histoweave.fusion.transforms import Transforms

build = LinearExpression


def fit(task: Task) -> Fit:
    """Nothing of a patient is read."""
    transforms = Transforms(None, None)
    module = task.build(transforms)
    fit_majority(module, task.train.codes)
    return Fit(transforms, module)


def fit_majority(module: LinearExpression, labels: np.ndarray) -> None:
    """For everybody the shares of the classes among the training patients; a class without patients gets none."""
    counts = np.bincount(labels, minlength=len(module.bias))
    with np.errstate(divide="ignore"):
        module.set(np.zeros(module.weight.shape), np.log(counts / counts.sum()))
