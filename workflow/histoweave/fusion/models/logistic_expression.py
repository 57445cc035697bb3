"""Logistic regression on all kept genes."""

from __future__ import annotations

import copy

from histoweave.fusion.models.linear import LinearExpression, fit_logistic
from histoweave.fusion.task import Fit, Task
from histoweave.fusion.transforms import Transforms

build = LinearExpression


def fit(task: Task) -> Fit:
    """The penalty is chosen by validation patients; see `fit_logistic`."""
    transforms = Transforms(None, task.fit_expression())
    module = task.build(transforms)
    before_refit = copy.deepcopy(module)
    train, val = task.genes(transforms)
    fit_logistic(module, before_refit, train=train, val=val)
    return Fit(transforms, module, before_refit=before_refit)
