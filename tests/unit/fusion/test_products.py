"""Components of image and RNA and their products: against scikit-learn, alone and beside the networks."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from fusion_cohort import FAST, Cohort
from simple_models_data import P, parts, three_classes
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.utils.class_weight import compute_sample_weight

from histoweave.fusion.bags import BagStore
from histoweave.fusion.batcher import Batcher
from histoweave.fusion.fitted import load_fold
from histoweave.fusion.models import build
from histoweave.fusion.models.base import Shape
from histoweave.fusion.models.joint import mixed
from histoweave.fusion.models.linear import INVERSE_REGULARISATION
from histoweave.fusion.models.products import Components, Products, fit_products
from histoweave.fusion.patients import PatientSet
from histoweave.fusion.share import SHARES, fit_share
from histoweave.storage.files import read_json


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    return three_classes(tmp_path_factory)


@pytest.fixture(scope="module")
def concat(cohort, tmp_path_factory):
    return cohort.run("concat", 0, tmp_path_factory.mktemp("concat"))


def everyone(cohort: Cohort) -> PatientSet:
    return PatientSet.of(cohort.patients, slides=cohort.slides, expression=cohort.expression, classes=cohort.classes)


def components(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """16 principal components fitted on the rows `train`, by one number scaled to unit mean variance."""
    pca = PCA(min(16, train.sum() - 1, values.shape[1])).fit(values[train])
    return pca.transform(values) / np.sqrt(pca.explained_variance_.mean())


def terms(images: np.ndarray, genes: np.ndarray) -> np.ndarray:
    return np.hstack([images, genes, np.einsum("ni,nj->nij", images, genes).reshape(len(images), -1)])


def test_logistic_both_equals_scikit_learn_on_components_and_their_products(cohort, tmp_path):
    """For one penalty of the grid: components of the training patients, fitted on training and validation."""
    out = cohort.run("logistic_both", 0, tmp_path)
    fitted, found, patients = load_fold(out), parts(out), everyone(cohort)
    data, bags = fitted.batcher(patients), BagStore(patients.slides, transform=fitted.transforms.image)
    means = np.stack([bags.load(patient).astype(np.float64).mean(axis=0) for patient in patients.ids])
    role = np.array([next(name for name, rows in found.items() if patient in rows.index) for patient in patients.ids])
    x = terms(components(means, role == "train"), components(data.genes(), role == "train"))
    labels = np.array(cohort.classes)[patients.codes]
    seen = role != "test"
    weights = np.sqrt(compute_sample_weight("balanced", labels[seen]))
    expected = found["test"].loc[np.array(patients.ids)[~seen], P]
    differences = []
    for inverse in INVERSE_REGULARISATION:
        model = LogisticRegression(C=inverse, max_iter=5000).fit(x[seen], labels[seen], weights)
        differences.append(np.abs(model.predict_proba(x[~seen]) - expected).max(axis=None))
    assert min(differences) < 2e-3 < max(differences)


def interaction(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean tiles, genes and labels: a factor of each with noise, and the label that is one of the two but not both."""
    rng = np.random.default_rng(seed)
    image, rna = rng.integers(2, size=(2, n))
    tiles, genes = (rng.normal(size=(n, width)) for width in (12, 50))
    tiles[:, :3] += 3 * image[:, None]
    genes[:, 7:12] += 2 * rna[:, None]
    return tiles.astype(np.float32), genes.astype(np.float32), image ^ rna


def test_an_interaction_is_found_that_neither_part_tells():
    train, val, test = interaction(50, 1), interaction(15, 2), interaction(200, 3)
    module = Products(Shape(12, (0,) * 50, 2), FAST)
    fit_products(module, copy.deepcopy(module), train=train, val=val)
    with torch.no_grad():
        logits = module.terms(torch.from_numpy(test[0]), torch.from_numpy(test[1])) @ module.weight.T + module.bias
    assert roc_auc_score(test[2], logits[:, 1] - logits[:, 0]) > 0.9
    for part in test[:2]:
        alone = [abs(roc_auc_score(test[2], column) - 0.5) for column in part.T]
        assert max(alone) < 0.15


def test_fewer_patients_than_components_leave_components_of_zeros():
    values = np.random.default_rng(0).normal(size=(5, 30)).astype(np.float32)
    part = Components(30)
    part.fit(values)
    scores = part(torch.from_numpy(values)).numpy()
    assert scores.shape == (5, 16) and (scores[:, 4:] == 0).all() and (np.abs(scores[:, :4]).max(0) > 0.1).all()
    np.testing.assert_allclose(scores.var(axis=0, ddof=1)[:4].mean(), 1, rtol=1e-4)
    part.fit(np.ones((4, 30), np.float32))
    assert part(torch.ones(2, 30)).isfinite().all()


@pytest.mark.parametrize("share", SHARES)
def test_the_mixture_is_of_probabilities(share):
    rng = np.random.default_rng(1)
    own, other = (torch.from_numpy(rng.normal(size=(4, 3))) for _ in range(2))
    other[:, 2] = -torch.inf  # a class that the products rule out
    found = mixed(own, other, torch.full((4, 1), share, dtype=torch.float64)).softmax(-1)
    expected = (1 - share) * own.softmax(-1) + share * other.softmax(-1)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("share", SHARES)
def test_gradients_are_finite_where_a_class_is_ruled_out(share):
    own = torch.randn(2, 3, requires_grad=True)
    other = torch.randn(2, 3) + torch.tensor([0.0, 0.0, -torch.inf])
    mixed(own, other, torch.full((2, 1), share))[:, 0].sum().backward()
    assert own.grad.isfinite().all()


def test_the_share_is_the_best_on_the_validation_patients(cohort, concat):
    fitted, roles = load_fold(concat), parts(concat)
    val = everyone(cohort).subset(roles["val"].index)
    data, losses = fitted.batcher(val), []
    for share in SHARES:
        fitted.module.share.fill_(share)
        values, _ = fitted.predict(data, image_of=val.ids, expression_of=val.ids)
        losses.append(log_loss(val.codes, values, labels=[0, 1, 2]))
    assert read_json(concat / "config.json")["products_share"] == SHARES[int(np.argmin(losses))]
    assert max(losses) - min(losses) > 0.01


def test_no_label_of_a_test_patient_moves_the_fit(cohort, concat, tmp_path):
    test = set(parts(concat)["test"].index)
    turned = cohort.patients["label"].where(~cohort.patients["patient"].isin(test), "a")
    again = cohort.run("concat", 0, tmp_path, patients=cohort.patients.assign(label=turned))
    assert (again / "model.safetensors").read_bytes() == (concat / "model.safetensors").read_bytes()


def test_who_lacks_a_modality_gets_the_networks_answer():
    torch.manual_seed(0)
    module = build("cross_attention", Shape(5, (0, 0, 1), 2), FAST).eval()
    torch.nn.init.normal_(module.products.of_tiles.loadings)
    module.share.fill_(0.75)
    tiles, genes, there = torch.randn(3, 4, 5), torch.randn(3, 3), torch.ones(3, dtype=torch.bool)
    has_image, has_expression = torch.tensor([True, False, True]), torch.tensor([True, True, False])
    arguments = (tiles, there[:, None].expand(3, 4) & has_image[:, None], genes, has_image, has_expression)
    with torch.no_grad():
        found, networks, products = (
            part(*arguments).logits.softmax(-1) for part in (module, module.networks, module.products)
        )
    torch.testing.assert_close(found[1:], networks[1:])
    torch.testing.assert_close(found[0], 0.25 * networks[0] + 0.75 * products[0])
    assert (found[0] - networks[0]).abs().max() > 1e-3


@pytest.mark.parametrize("lost", ["validation", "classes"])
def test_without_patients_to_fit_or_choose_on_the_share_is_0(cohort, concat, lost):
    fitted, roles = load_fold(concat), parts(concat)
    patients = everyone(cohort)
    train, val = (Batcher(patients.subset(roles[role].index), fitted.transforms) for role in ("train", "val"))
    if lost == "validation":
        val = Batcher(patients.subset([]), fitted.transforms)
    else:
        one = roles["train"].index[roles["train"]["y_true"] == "a"]
        train = Batcher(patients.subset(one), fitted.transforms)
    fitted.module.share.fill_(0.0)
    before = copy.deepcopy(fitted.module.state_dict())
    fit_share(fitted.module, train=train, val=val, device="cpu")
    assert fitted.module.share == 0 and all(torch.equal(before[k], v) for k, v in fitted.module.state_dict().items())
