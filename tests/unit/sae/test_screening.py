"""Looking for the largest pre-activations with 8-bit numbers finds those that float32 finds, or says that it does not."""

from __future__ import annotations

import pytest
import torch
from fresh_process import printed
from hypothesis import given, settings
from hypothesis import strategies as st
from sae_fixtures import one_thread, oracle, shard  # noqa: F401

from histoweave.sae import screening
from histoweave.sae.dictionary import Dictionary
from histoweave.sae.preactivations import LargestPreactivations, preactivations
from histoweave.sae.screening import Quantised, screen
from histoweave.sae.train import fit
from histoweave.settings.sae import Sae

CPU = torch.device("cpu")
ANY = {"_MIN_DIM": 1, "_MIN_LATENTS": 1, "_MIN_TOKENS": 1}

needs_8_bit = pytest.mark.skipif(not screening.has_8_bit_products(), reason="CPU without 8-bit products (VNNI)")


@pytest.fixture
def screens(monkeypatch):
    """Small batches are screened too."""
    for name, least in ANY.items():
        monkeypatch.setattr(screening, name, least)


def drawn(kind: str, *shape: int, seed: int) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    if kind == "outlier":
        values[:, 0] *= 1000
    elif kind == "rows of other lengths":
        values *= torch.logspace(-3, 1, len(values)).unsqueeze(1)
    elif kind == "mostly 0":
        values *= values > 2
    elif kind == "all 0":
        values.zero_()
    return values


def dictionary_of(w_enc: torch.Tensor, b_enc: torch.Tensor) -> Dictionary:
    return Dictionary(w_enc, b_enc, torch.nn.functional.normalize(w_enc, dim=1), torch.zeros(w_enc.shape[1]))


def agrees(found: tuple[torch.Tensor, torch.Tensor], z: torch.Tensor, k: int) -> None:
    """The positive ones among the k largest of the rows of z, float64, were found."""
    values, latents = found
    scale = z.abs().max().clamp(min=1e-30)
    torch.testing.assert_close(values.double() / scale, z.gather(1, latents) / scale, rtol=0, atol=1e-5)
    positive = values.double().relu().sort(dim=1, descending=True).values
    torch.testing.assert_close(positive / scale, z.topk(k, dim=1).values.relu() / scale, rtol=0, atol=1e-5)
    assert all(len(set(row)) == k for row in latents.tolist())


KINDS = st.sampled_from(["normal", "outlier", "rows of other lengths", "mostly 0", "all 0"])


@needs_8_bit
@settings(max_examples=80, deadline=None)
@given(
    tokens=KINDS, weights=KINDS, bias=st.sampled_from([0, 1, -30, 1e6]), dim=st.sampled_from([8, 100, 768]),
    k=st.integers(3, 20), seed=st.integers(0, 999),
)  # fmt: skip
def test_tokens_that_are_sure_have_their_largest(tokens, weights, bias, dim, k, seed):
    x = drawn(tokens, 250, dim, seed=seed)
    w_enc = drawn(weights, 2048, dim, seed=seed + 1)
    b_enc = bias * drawn("normal", 1, 2048, seed=seed + 2).squeeze(0)
    values, latents, unsure = screen(x, Quantised.of(w_enc), b_enc, k)
    sure = torch.ones(len(x), dtype=torch.bool).index_fill_(0, unsure, value=False)
    z = x.double() @ w_enc.double().T + b_enc.double()
    if sure.any():
        agrees((values[sure], latents[sure]), z[sure], k)


@needs_8_bit
def test_plain_tokens_are_sure(screens):
    x, w_enc = drawn("normal", 512, 768, seed=0), drawn("normal", 6144, 768, seed=1)
    b_enc = drawn("normal", 1, 6144, seed=2).squeeze(0)
    assert len(screen(x, Quantised.of(w_enc), b_enc, 32)[2]) < 10
    finds = LargestPreactivations(32)
    for _ in range(2):
        agrees(finds(dictionary_of(w_enc, b_enc), x), x.double() @ w_enc.double().T + b_enc.double(), 32)
    assert finds._screens


def hidden(where: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and weights. Latent 0 reads small values beside a large one, of the tokens or of its own row.

    Of its pre-activation, the third, the 8-bit numbers see next to nothing, and are nearly right about all others,
    which read a value that is large enough.
    """
    concept = torch.nn.functional.normalize(drawn("normal", 1, 254, seed=0), dim=1).squeeze(0)
    w_enc = torch.zeros(2048, 256)
    if where == "tokens":
        x = torch.cat([torch.tensor([1000.0, 0]), 25 * concept])
        w_enc[:, 0] = -0.005
        w_enc[1:3, 0] = 0.02
        w_enc[3:11, 0] = torch.linspace(0.003, 0.001, 8)
        w_enc[0] = torch.cat([torch.zeros(2), 0.2 * concept])
    else:
        x = torch.cat([torch.tensor([0, 1.0]), 25 * concept])
        w_enc[:, 1] = -100
        w_enc[1:3, 1] = 800
        w_enc[3:11, 1] = torch.linspace(300, 100, 8)
        w_enc[0] = torch.cat([torch.tensor([1000.0, 0]), 15 * concept])
    return x.repeat(300, 1), w_enc


@needs_8_bit
@pytest.mark.parametrize("where", ["tokens", "weights"])
def test_what_rounding_takes_away_as_a_whole_is_not_missed(screens, monkeypatch, where):
    x, w_enc = hidden(where)
    assert Quantised.of(x).coarse.all() == (where == "tokens")
    assert Quantised.of(w_enc).coarse[0] == (where == "weights")
    z = x.double() @ w_enc.double().T
    assert (z.topk(3, dim=1).indices == 0).any(dim=1).all()
    finds = LargestPreactivations(4)
    agrees(finds(dictionary_of(w_enc, torch.zeros(2048)), x), z, 4)
    assert not finds._screens
    monkeypatch.setattr(screening, "_MAX_LOST", 1.0)
    _, latents, unsure = screen(x, Quantised.of(w_enc), torch.zeros(2048), 4)
    assert not (latents == 0).any()  # it would be missed otherwise,
    assert not len(unsure)  # and nothing said


def test_one_token_that_is_unsure_is_computed_in_full(screens):
    x, w_enc = drawn("normal", 400, 256, seed=0), drawn("normal", 4096, 256, seed=1)
    x[7] = hidden("tokens")[0][0] / 250
    finds = LargestPreactivations(4)
    _, _, unsure = screen(x, Quantised.of(w_enc), torch.zeros(4096), 4)
    assert 7 in unsure.tolist()
    agrees(finds(dictionary_of(w_enc, torch.zeros(4096)), x), x.double() @ w_enc.double().T, 4)


def test_numbers_that_are_not_finite_are_not_trusted():
    w_enc = drawn("normal", 2048, 64, seed=1)
    for value in (float("nan"), float("inf")):
        x = drawn("normal", 300, 64, seed=0)
        x[3, 5] = value
        assert len(screen(x, Quantised.of(w_enc), torch.zeros(2048), 4)[2]) == 300


def test_it_is_done_only_where_it_pays(monkeypatch):
    x = torch.zeros(1024, 768)
    monkeypatch.setattr(screening, "has_8_bit_products", lambda: True)
    assert screening.pays(x, 6144, 32)
    assert not screening.pays(x[:512], 6144, 32)
    assert not screening.pays(x[:, :384], 6144, 32)
    assert not screening.pays(x, 6144, 64)
    assert not screening.pays(x.to("meta"), 6144, 32)
    monkeypatch.setattr(screening, "has_8_bit_products", lambda: False)
    assert not screening.pays(x, 6144, 32)


@pytest.mark.parametrize("isa", ["AVX2", "AVX512_CORE"])
def test_products_that_overflow_are_seen(isa):
    code = "from histoweave.sae.screening import has_8_bit_products\nprint(has_8_bit_products())"
    assert printed(f"import os\nos.environ['ONEDNN_MAX_CPU_ISA'] = '{isa}'\n{code}") == "False"


def test_a_processor_without_them_is_not_asked(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True})
    assert not screening.has_8_bit_products.__wrapped__()


@needs_8_bit
def test_a_fit_comes_to_the_same_and_twice_to_the_same_bytes(screens, tmp_path, monkeypatch):
    tokens = shard(tmp_path / "a.h5", oracle(6000, 64, 256, active=4).tokens)
    chosen = Sae(variant="topk", expansion=32, k=4, batch_tokens=500, epochs=2, learning_rate=1e-3, warmup_steps=0)
    asked = []
    whole = preactivations

    def counted(dictionary, centred):
        asked.append(len(centred))
        return whole(dictionary, centred)

    monkeypatch.setattr("histoweave.sae.preactivations.preactivations", counted)
    (one, seen), (same, _) = (fit(tokens, settings=chosen, seed=0, device=CPU) for _ in range(2))
    assert one.w_dec.numpy().tobytes() == same.w_dec.numpy().tobytes()
    assert one.w_enc.numpy().tobytes() == same.w_enc.numpy().tobytes()
    screened = sum(asked) / 2
    monkeypatch.setattr(screening, "pays", lambda *_: False)
    _, exact = fit(tokens, settings=chosen, seed=0, device=CPU)
    assert screened < 0.25 * (sum(asked) - 2 * screened)
    assert seen["explained_variance"].iloc[-1] == pytest.approx(exact["explained_variance"].iloc[-1], abs=0.01)
    assert seen["explained_variance"].iloc[0] == pytest.approx(exact["explained_variance"].iloc[0], abs=1e-4)
