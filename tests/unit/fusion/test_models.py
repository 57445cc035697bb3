"""The networks: every modality reaches the output, masks hold, tiles have no order, a modality may be missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fusion_cohort import FAST
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight

from histoweave.fusion import catalog
from histoweave.fusion.batcher import collate
from histoweave.fusion.layers import CrossAttention, GatedAttentionPool, GeneTokens, masked_softmax
from histoweave.fusion.models import build
from histoweave.fusion.models.base import Batch, Shape, two_steps
from histoweave.fusion.models.best_gene import fit_best_gene
from histoweave.fusion.models.joint import Joint
from histoweave.fusion.models.linear import LinearExpression
from histoweave.fusion.models.majority import fit_majority
from histoweave.fusion.train import class_weights

TILE_WIDTH, GROUPS = 6, (0, 0, 1, 2, 2, 2, 1, 0)
WITH_TILES = [name for name in catalog.names() if catalog.IMAGE in catalog.get(name).modalities]


def network(model: str, *, n_classes: int = 2) -> torch.nn.Module:
    torch.manual_seed(0)
    return build(model, Shape(TILE_WIDTH, GROUPS, n_classes), FAST).eval()


def random_batch(sizes: tuple[int, ...], *, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    tiles, mask = collate([rng.normal(size=(n, TILE_WIDTH)).astype(np.float32) for n in sizes])
    genes = torch.from_numpy(rng.normal(size=(len(sizes), len(GROUPS))).astype(np.float32))
    present = torch.ones(len(sizes), dtype=torch.bool)
    return Batch(tiles, mask, genes, present, present)


# Models of the order of genes have no gradient: tests/unit/fusion/test_simple_models.py.
SMOOTH = [name for name in catalog.names() if catalog.get(name).modalities and name not in ("centroid", "top_pairs")]


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("model", SMOOTH)
def test_gradient_reaches_exactly_the_declared_modalities(model, n_classes):
    info, batch = catalog.get(model), random_batch((7, 3))
    for code in range(n_classes):
        tiles, genes = batch.tiles.clone().requires_grad_(), batch.genes.clone().requires_grad_()
        logits = network(model, n_classes=n_classes)(*batch._replace(tiles=tiles, genes=genes)).logits
        logits[:, code].sum().backward()
        for modality, gradient in ((catalog.IMAGE, tiles.grad), (catalog.EXPRESSION, genes.grad)):
            reaches = gradient is not None and bool((gradient.abs() > 0).any(dim=-1).any(dim=-1).any())
            assert reaches == (modality in info.modalities), (modality, code)


@pytest.mark.parametrize("model", WITH_TILES)
def test_every_tile_and_every_gene_reaches_the_output(model):
    batch = random_batch((9,))
    tiles, genes = batch.tiles.clone().requires_grad_(), batch.genes.clone().requires_grad_()
    network(model)(*batch._replace(tiles=tiles, genes=genes)).logits[0, 1].backward()
    assert (tiles.grad.abs().sum(-1) > 0).all()
    if catalog.EXPRESSION in catalog.get(model).modalities:
        assert (genes.grad.abs() > 0).all()


@pytest.mark.parametrize("model", WITH_TILES)
def test_another_image_changes_the_output_when_the_genes_are_the_same(model):
    """Attention over a single key is constant in the query: the image would not matter."""
    one, other = random_batch((12,), seed=1), random_batch((12,), seed=2)
    fusion = network(model)
    difference = fusion(*one).logits - fusion(*one._replace(tiles=other.tiles)).logits
    assert difference.abs().max() > 1e-4


@pytest.mark.parametrize("model", WITH_TILES)
@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    padding=st.integers(1, 40),
    garbage=st.sampled_from([float("nan"), float("inf"), 1e30, -1e6]),
)
def test_padding_changes_nothing(model, sizes, padding, garbage):
    batch, fusion = random_batch(tuple(sizes)), network(model)
    tiles = torch.where(batch.tile_mask[..., None], batch.tiles, garbage)
    tiles = torch.cat([tiles, torch.full((len(sizes), padding, TILE_WIDTH), garbage)], dim=1)
    mask = torch.cat([batch.tile_mask, torch.zeros(len(sizes), padding, dtype=torch.bool)], dim=1)
    plain, padded = fusion(*batch), fusion(*batch._replace(tiles=tiles, tile_mask=mask))
    torch.testing.assert_close(padded.logits, plain.logits, rtol=1e-4, atol=1e-5)
    if plain.tile_attention is not None:
        assert (padded.tile_attention[~mask] == 0).all()
        torch.testing.assert_close(padded.tile_attention.sum(-1), torch.ones(len(sizes)))


@pytest.mark.parametrize("model", WITH_TILES)
def test_a_batch_of_very_different_bags_equals_one_by_one(model):
    sizes = (1, 300, 7)
    batch, fusion = random_batch(sizes), network(model)
    together = fusion(*batch)
    for row, n in enumerate(sizes):
        alone = Batch(*(part[row : row + 1] for part in batch))
        alone = alone._replace(tiles=alone.tiles[:, :n], tile_mask=alone.tile_mask[:, :n])
        output = fusion(*alone)
        torch.testing.assert_close(output.logits[0], together.logits[row], rtol=1e-4, atol=1e-5)
        if output.tile_attention is not None:
            torch.testing.assert_close(output.tile_attention[0], together.tile_attention[row, :n])


@pytest.mark.parametrize("model", WITH_TILES)
def test_tiles_have_no_order(model):
    batch, fusion = random_batch((20,)), network(model)
    order = torch.from_numpy(np.random.default_rng(3).permutation(20))
    plain, mixed = fusion(*batch), fusion(*batch._replace(tiles=batch.tiles[:, order]))
    torch.testing.assert_close(mixed.logits, plain.logits, rtol=1e-4, atol=1e-5)
    if plain.tile_attention is not None:
        torch.testing.assert_close(mixed.tile_attention, plain.tile_attention[:, order], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("model", [m for m in WITH_TILES if catalog.get(m).tolerates_missing])
def test_a_missing_modality_is_ignored_and_the_other_is_used(model):
    batch, other, fusion = random_batch((5, 5)), random_batch((5, 5), seed=9), network(model)
    absent = torch.zeros(2, dtype=torch.bool)
    no_image = batch._replace(has_image=absent, tile_mask=torch.zeros_like(batch.tile_mask))
    no_genes = batch._replace(has_expression=absent)
    for case, unused, used in ((no_image, "tiles", "genes"), (no_genes, "genes", "tiles")):
        plain = fusion(*case).logits
        assert plain.isfinite().all()
        assert torch.equal(fusion(*case._replace(**{unused: getattr(other, unused)})).logits, plain)
        changed = fusion(*case._replace(**{used: getattr(other, used)})).logits
        assert (changed - plain).abs().max() > 1e-4


@pytest.mark.parametrize("model", catalog.names())
def test_one_look_at_the_image_goes_with_many_genes_and_many_masks(model):
    batch, genes = random_batch((9,)), random_batch((2,) * 4, seed=3).genes
    fusion = two_steps(network(model))
    if isinstance(fusion, Joint):
        fusion.share.fill_(0.5)
    seen = fusion.see(batch.tiles, batch.tile_mask, batch.has_image)
    there = torch.ones(4, dtype=torch.bool)
    wanted = torch.cat([fusion(*batch._replace(genes=row[None])).logits for row in genes])
    found = fusion.answer(seen, batch.tile_mask, batch.has_image, genes, there).logits
    torch.testing.assert_close(found.expand(4, -1), wanted, atol=1e-5, rtol=0)
    masks = torch.arange(9) < torch.tensor([[1], [4], [9]])
    wanted = torch.cat([fusion(*batch._replace(tile_mask=mask[None])).logits for mask in masks])
    found = fusion.answer(seen, masks, torch.ones(3, dtype=torch.bool), batch.genes, batch.has_expression).logits
    torch.testing.assert_close(found.expand(3, -1), wanted, atol=1e-5, rtol=0)


def test_late_mean_is_the_mean_of_the_two_probabilities():
    batch, fusion = random_batch((5, 9)), network("late_mean", n_classes=3)
    parts = [part(*batch).logits.softmax(-1) for part in (fusion.image, fusion.expression)]
    torch.testing.assert_close(fusion(*batch).logits.softmax(-1), (parts[0] + parts[1]) / 2)
    alone = batch._replace(has_image=torch.zeros(2, dtype=torch.bool))
    torch.testing.assert_close(fusion(*alone).logits.softmax(-1), parts[1])


def test_an_ensemble_is_the_mean_of_its_members():
    batch, fusion = random_batch((5, 9)), network("image", n_classes=3)
    outputs = [member(*batch) for member in fusion.members]
    assert len(outputs) == FAST.members
    assert not torch.equal(outputs[0].logits, outputs[1].logits)
    output = fusion(*batch)
    mean = sum(o.logits.softmax(-1) for o in outputs) / len(outputs)
    torch.testing.assert_close(output.logits.softmax(-1), mean)
    torch.testing.assert_close(output.tile_attention, sum(o.tile_attention for o in outputs) / len(outputs))


def test_cross_attention_equals_torch():
    """The same weights in torch.nn.MultiheadAttention give the same attention and the same mix."""
    torch.manual_seed(0)
    own = CrossAttention(8, heads=2, dropout=0.0).eval()
    reference = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval()
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([own.query.weight, own.key_value.weight]))
        reference.in_proj_bias.copy_(torch.cat([own.query.bias, own.key_value.bias]))
        reference.out_proj.load_state_dict(own.out.state_dict())
    query, context = torch.randn(3, 4, 8), torch.randn(3, 6, 8)
    mask = torch.tensor([[True] * 6, [True] * 2 + [False] * 4, [False, True] * 3])
    result, attention = own(query, context, mask)
    q, c = own.norm_query(query), own.norm_context(context)
    mixed, expected = reference(q, c, c, key_padding_mask=~mask, average_attn_weights=False)
    torch.testing.assert_close(attention, expected)
    residual = query + mixed
    torch.testing.assert_close(result, residual + own.feed_forward(residual))


def test_gene_tokens_are_one_linear_map_per_group():
    tokens = GeneTokens(GROUPS, width=5, dropout=0.0)
    genes = torch.randn(2, len(GROUPS))
    for group in range(3):
        member = torch.tensor(GROUPS) == group
        expected = tokens.finish(genes[:, member] @ tokens.weight[member] + tokens.bias[group])
        torch.testing.assert_close(tokens(genes)[:, group], expected)


def test_pool_weights_are_a_softmax_over_unmasked_tokens():
    pool, mask = GatedAttentionPool(4), torch.tensor([[True, True, False]])
    tokens = torch.randn(1, 3, 4)
    pooled, attention = pool(tokens, mask)
    assert attention[0, 2] == 0
    torch.testing.assert_close(pooled[0], attention[0, 0] * tokens[0, 0] + attention[0, 1] * tokens[0, 1])
    assert masked_softmax(torch.tensor([[0.0, 0.0, 9.0]]), mask).tolist() == [[0.5, 0.5, 0.0]]


def test_best_gene_finds_the_gene_and_equals_scikit_learn():
    rng = np.random.default_rng(0)
    genes, labels = rng.normal(size=(60, len(GROUPS))).astype(np.float32), np.repeat([0, 1], [40, 20])
    genes[:, 5] -= 1.5 * labels  # lower in the positive class: the direction must not matter
    module = LinearExpression(Shape(1, GROUPS, 2), FAST)
    fit_best_gene(module, genes, labels)
    assert set(module.weight.nonzero()[:, 1].tolist()) == {5}
    nothing = torch.zeros(60, 1, 1)
    logits = module(nothing, nothing[..., 0] == 0, torch.from_numpy(genes), None, None).logits
    weights = np.sqrt(compute_sample_weight("balanced", labels))
    reference = LogisticRegression().fit(genes[:, [5]], labels, sample_weight=weights)
    np.testing.assert_allclose(logits.softmax(-1).detach().numpy(), reference.predict_proba(genes[:, [5]]), atol=1e-4)


def test_majority_predicts_the_prevalence_of_the_training_patients():
    module = LinearExpression(Shape(1, GROUPS, 3), FAST)
    fit_majority(module, np.array([0, 2, 2, 0, 2]))
    probabilities = module(*random_batch((4, 2))).logits.softmax(-1)
    np.testing.assert_allclose(probabilities.detach(), [[0.4, 0.0, 0.6]] * 2, rtol=1e-6)


def test_class_weights_are_between_none_and_balanced():
    weights = class_weights(torch.tensor([0, 0, 0, 1]), 3)
    np.testing.assert_allclose(weights, [np.sqrt(4 / 6), np.sqrt(4 / 2), 0.0], rtol=1e-6)
