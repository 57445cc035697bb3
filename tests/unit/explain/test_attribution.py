"""Attributions against closed forms, and the curves and comparisons that test them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit
from scipy.stats import spearmanr
from sklearn.metrics import auc
from torch import nn

from histoweave.explain import attribution, faithfulness
from histoweave.explain.attribution import Attribution, attribute, log_odds
from histoweave.explain.gains import gains
from histoweave.explain.stability import agreement, stability
from histoweave.fusion import catalog
from histoweave.fusion.fitted import FittedModel
from histoweave.fusion.models import build
from histoweave.fusion.models.base import Batch, Output, Shape
from histoweave.fusion.transforms import Transforms
from histoweave.settings.fusion import Fusion

CLASSES = ("a", "b", "c")
N, K, G = 7, 3, 5


class Linear(nn.Module):
    """Logits linear in the mean tile and in the genes."""

    def __init__(self, n_classes: int):
        super().__init__()
        self.tile = nn.Linear(K, n_classes)
        self.gene = nn.Linear(G, n_classes)

    def forward(self, tiles, tile_mask, genes, has_image, has_expression):
        mean = (tiles * tile_mask.unsqueeze(-1)).sum(1) / tile_mask.sum(1, keepdim=True).clamp(min=1)
        return Output(self.tile(mean) * has_image[:, None] + self.gene(genes) * has_expression[:, None])


def fitted(module: nn.Module, *, model: str = "cross_attention", classes=CLASSES) -> FittedModel:
    module = module.eval().requires_grad_(False)
    return FittedModel(catalog.get(model), tuple(classes), Fusion(), Transforms(None, None), module, "cpu")


def network(model: str = "cross_attention", *, n_classes: int = 3, seed: int = 0) -> FittedModel:
    """A network of the catalog at random weights, large enough that it is far from linear."""
    torch.manual_seed(seed)
    settings = Fusion(width=16, heads=2, members=2, dropout=0.0)
    module = build(model, Shape(K, (0, 0, 1, 1, 2), n_classes), settings)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return fitted(module, model=model, classes=CLASSES[:n_classes])


def patient(*, image: bool = True, expression: bool = True, seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    tiles = torch.randn(1, N if image else 1, K, generator=generator)
    genes = torch.randn(1, G, generator=generator) * expression
    mask = torch.full((1, tiles.shape[1]), image)
    return Batch(tiles, mask, genes, torch.tensor([image]), torch.tensor([expression]))


# ---------------------------------------------------------------- attributions


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=5))
def test_log_odds_are_those_of_the_probabilities(values):
    logits = torch.tensor([values], dtype=torch.float64)
    expected = logit(logits.softmax(-1).numpy())
    finite = np.abs(expected) < 25  # beyond, 1 - p has no digits left in the reference
    np.testing.assert_allclose(log_odds(logits).numpy()[finite], expected[finite], rtol=1e-4, atol=1e-6)
    assert torch.isfinite(log_odds(logits * 10)).all()


def test_of_a_linear_model_with_two_classes_they_are_weight_times_value():
    model = fitted(Linear(2), classes=("a", "b"))
    batch = patient()
    found = attribute(model, batch, steps=4)
    weight = model.module.tile.weight[1] - model.module.tile.weight[0]
    np.testing.assert_allclose(found.tiles[:, 1], (batch.tiles[0] @ weight / N).numpy(), rtol=1e-4, atol=1e-7)
    weight = model.module.gene.weight[1] - model.module.gene.weight[0]
    np.testing.assert_allclose(found.genes[:, 1], (batch.genes[0] * weight).numpy(), rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(found.tiles[:, 0], -found.tiles[:, 1])
    assert found.attention is None and found.cross is None


@pytest.mark.parametrize("model", ["cross_attention", "concat", "image", "expression"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_attributions_add_up_to_the_change_of_the_score(model, n_classes):
    model = network(model, n_classes=n_classes)
    found = attribute(model, patient(), steps=64)
    np.testing.assert_allclose(found.error, 0, atol=1e-3 * np.abs(found.score - found.baseline).max() + 1e-5)
    reads = model.info.modalities
    assert (found.tiles is not None) == ("image" in reads) and (found.genes is not None) == ("expression" in reads)
    with torch.no_grad():
        p = model.module(*patient()).logits.double().softmax(-1)[0].numpy()
    np.testing.assert_allclose(found.score, logit(p), rtol=1e-4, atol=1e-5)


def test_they_are_the_integral_of_the_gradient():
    """A plain sum over many midpoints of the same path, without Captum."""
    model, batch = network(), patient()
    found = attribute(model, batch, steps=64)
    alphas = (torch.arange(2000) + 0.5) / 2000
    total = torch.zeros(N)
    for alpha in alphas.split(200):
        tiles = (alpha[:, None, None] * batch.tiles).requires_grad_()
        n = len(alpha)
        parts = {name: part.expand(n, *part.shape[1:]) for name, part in batch._asdict().items()}
        score = log_odds(model.module(*Batch(**parts | {"tiles": tiles, "genes": alpha[:, None] * batch.genes})).logits)
        (gradient,) = torch.autograd.grad(score[:, 2].sum(), tiles)
        total += (gradient * batch.tiles).sum((0, 2))
    np.testing.assert_allclose(found.tiles[:, 2], (total / 2000).numpy(), rtol=1e-3, atol=1e-5)


def test_memory_is_bounded_by_taking_few_steps_at_once(monkeypatch):
    whole = attribute(network(), patient(), steps=16)
    monkeypatch.setattr(attribution, "TILES_AT_ONCE", 1)
    sizes = []
    model = network()
    model.module.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
    parts = attribute(model, patient(), steps=16)
    assert max(sizes) == 1
    np.testing.assert_allclose(whole.tiles, parts.tiles, atol=1e-6)
    np.testing.assert_allclose(whole.genes, parts.genes, atol=1e-6)


@pytest.mark.parametrize(("all_steps_to", "asked", "taken"), [(N, 16, 16), (3, 32, 32 * 3 // N), (1, 32, 8), (1, 4, 4)])
def test_a_large_bag_takes_fewer_points_in_proportion(monkeypatch, all_steps_to, asked, taken):
    monkeypatch.setattr(attribution, "TILES_OF_ALL_STEPS", all_steps_to)
    found = attribute(network(), patient(), steps=asked)
    monkeypatch.setattr(attribution, "TILES_OF_ALL_STEPS", N)
    np.testing.assert_array_equal(found.tiles, attribute(network(), patient(), steps=taken).tiles)
    other = attribute(network(), patient(), steps=2 * taken)
    assert not np.array_equal(found.tiles, other.tiles)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_class_alone_is_explained_as_with_the_others(n_classes):
    every, one = (attribute(network(n_classes=n_classes), patient(), steps=8, only=only) for only in (None, 1))
    np.testing.assert_allclose(one.tiles[:, 1], every.tiles[:, 1], atol=1e-6)
    np.testing.assert_allclose(one.genes[:, 1], every.genes[:, 1], atol=1e-6)
    assert np.isnan(np.delete(one.tiles, 1, axis=1)).all() and np.isfinite(every.tiles).all()


def test_a_patient_without_a_modality_is_explained_by_the_other():
    found = attribute(network(), patient(image=False), steps=64)
    assert found.tiles is None and found.attention is None and found.cross is None and found.genes.shape == (G, 3)
    found = attribute(network(), patient(expression=False), steps=64)
    assert found.genes is None and found.cross is None and found.tiles.shape == (N, 3)
    np.testing.assert_allclose(found.error, 0, atol=1e-3)


def test_attention_and_cross_attention_are_means_over_members_and_heads():
    model, batch = network(), patient()
    found = attribute(model, batch, steps=4)
    with torch.no_grad():
        outputs = [member(*batch) for member in model.module.members]
    np.testing.assert_allclose(found.attention, np.mean([o.tile_attention[0] for o in outputs], axis=0), atol=1e-6)
    expected = np.mean([o.cross_attention[0].mean(0) for o in outputs], axis=0)
    np.testing.assert_allclose(found.cross, expected, atol=1e-6)
    assert found.cross.shape == (3, N) and found.cross.sum(1) == pytest.approx(1)


# ---------------------------------------------------------------- deletion and insertion


def predicted(model, tiles, genes, *, image=True):
    n = max(1, len(tiles))
    padded = torch.zeros(1, n, K)
    padded[0, : len(tiles)] = tiles
    batch = Batch(padded, torch.full((1, n), image), genes[None], torch.tensor([image]), torch.tensor([True]))
    with torch.no_grad():
        return model.module(*batch).logits.double().softmax(-1)[0].numpy()


def curves(model, batch, **changes):
    found = attribute(model, batch, steps=8)
    arguments = {"random_orders": 2, "rng": np.random.default_rng(0)} | changes
    return found, faithfulness.curves(model, batch, found, **arguments)


def line(table, *at):
    return (
        table.set_index(["modality", "order", "direction"])
        .sort_index()
        .loc[at]
        .sort_values("share")["score"]
        .to_numpy()
    )


def test_each_point_is_the_prediction_of_the_bag_that_is_left():
    model, batch = network(), patient()
    found, table = curves(model, batch)
    called = int(found.score.argmax())
    order = np.argsort(-found.tiles[:, called])
    tiles, genes = batch.tiles[0], batch.genes[0]
    gone = [
        predicted(model, tiles[order[round(s * N) :].copy()], genes, image=bool(s < 1))[called]
        for s in np.arange(11) / 10
    ]
    np.testing.assert_allclose(line(table, "image", "attribution", "deletion"), gone, atol=1e-5)
    order = np.argsort(-found.genes[:, called])
    kept = [torch.zeros(G).index_copy(0, torch.tensor(order[:m].copy()), genes[order[:m].copy()]) for m in range(G + 1)]
    there = [predicted(model, tiles, kept[round(s * G)])[called] for s in np.arange(11) / 10]
    np.testing.assert_allclose(line(table, "expression", "attribution", "insertion"), there, atol=1e-5)
    assert set(table["order"]) == {"attribution", "attention", "random"}
    assert not ((table["modality"] == "expression") & (table["order"] == "attention")).any()


def test_ends_are_the_same_in_every_order():
    _, table = curves(network(), patient())
    for _, part in table.groupby(["modality"]):
        full = part[(part["direction"] == "deletion") == (part["share"] == 0)]
        full = full[full["share"].isin([0, 1])]["score"]
        none = part[(part["direction"] == "deletion") == (part["share"] == 1)]
        none = none[none["share"].isin([0, 1])]["score"]
        assert np.ptp(full) < 1e-6 and np.ptp(none) < 1e-6


@pytest.mark.parametrize(("model", "expression"), [("concat", True), ("image", True), ("cross_attention", False)])
def test_one_tile_stays_where_the_model_needs_one(model, expression):
    model, batch = network(model), patient(expression=expression)
    found, table = curves(model, batch)
    assert np.isfinite(table["score"]).all()
    called = int(found.score.argmax())
    last = np.argsort(-found.tiles[:, called])[-1:].copy()
    if expression:
        expected = predicted(model, batch.tiles[0][last], batch.genes[0])[called]
        assert line(table, "image", "attribution", "deletion")[-1] == pytest.approx(expected, abs=1e-5)


@given(st.permutations(range(6)), st.sampled_from(["deletion", "insertion"]), st.integers(0, 1))
def test_what_is_kept_follows_the_order(order, direction, least):
    kept = faithfulness._kept(np.array(order), direction, least)
    counts = kept.sum(axis=1)
    ends = (6, least) if direction == "deletion" else (least, 6)
    assert (counts[0], counts[-1]) == ends and (np.abs(np.diff(counts)) <= 1).all()
    in_order = kept[:, order].astype(int)  # once something is gone (deletion) or missing (insertion), the rest follows
    steps = np.diff(in_order, axis=1)
    assert (steps >= 0).all() if direction == "deletion" else (steps <= 0).all()


def test_random_curves_depend_on_the_generator_alone():
    one, two = (curves(network(), patient(), rng=np.random.default_rng(3))[1] for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


def test_gain_is_the_area_between_the_curves():
    rng = np.random.default_rng(0)
    shares = np.linspace(0, 1, 11)
    index = pd.MultiIndex.from_product(
        [["p", "q"], ["image"], ["deletion", "insertion"], ["attribution", "random"], shares]
    )
    table = index.to_frame(index=False, name=["patient", "modality", "direction", "order", "share"])
    table["score"] = rng.random(len(table))
    found = gains(table).set_index(["patient", "direction"])["gain"]
    of = table.groupby(["patient", "direction", "order"])[["share", "score"]].apply(
        lambda t: auc(t["share"], t["score"])
    )
    for name in ("p", "q"):
        assert found[name, "deletion"] == pytest.approx(
            of[name, "deletion", "random"] - of[name, "deletion", "attribution"]
        )
        assert found[name, "insertion"] == pytest.approx(
            of[name, "insertion", "attribution"] - of[name, "insertion", "random"]
        )
    assert set(gains(table)["order"]) == {"attribution"} and gains(table.head(0)).empty


def test_of_a_linear_model_attribution_is_faithful_and_its_opposite_is_not():
    model, batch = fitted(Linear(2), classes=("a", "b")), patient()
    found, _ = curves(model, batch)
    tables = []
    for name, sign in (("right", 1), ("wrong", -1)):
        turned = Attribution(sign * found.tiles, sign * found.genes, None, None, found.score, found.baseline)
        part = faithfulness.curves(model, batch, turned, random_orders=30, rng=np.random.default_rng(0))
        tables.append(part.assign(patient=name))
    found = gains(pd.concat(tables)).set_index("patient")["gain"]
    assert (found["right"] > 0).all() and (found["wrong"] < 0).all()


# ---------------------------------------------------------------- stability


def test_agreement_is_spearmans_and_the_overlap_of_the_tops():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 40))
    correlation, overlap = agreement(one, other)
    assert correlation == pytest.approx(spearmanr(one, other).statistic)
    tops = [set(np.argsort(values)[-4:]) for values in (one, other)]
    assert overlap == len(tops[0] & tops[1]) / len(tops[0] | tops[1])
    assert agreement(one, one) == (pytest.approx(1), 1) and agreement(one, -one)[0] == pytest.approx(-1)
    assert np.isnan(agreement(one, np.zeros(40))[0]) and np.isnan(agreement(one[:1], one[:1])).all()


def test_genes_are_compared_where_both_models_read_them():
    one = pd.Series([1.0, 2.0, 3.0, 9.0], index=["A", "B", "C", "X"])
    other = pd.Series([3.0, 1.0, 2.0, 9.0], index=["C", "A", "B", "Y"])
    table = stability(tiles=(None, None), genes=(one, other))
    assert table["modality"].tolist() == ["expression"] and table["spearman"].item() == pytest.approx(1)
