"""The largest values of each row are those that torch finds."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from histoweave.sae import largest as module
from histoweave.sae.largest import largest


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 5), n_columns=st.integers(1, 200), k=st.integers(1, 40), ties=st.booleans(), seed=st.integers(0)
)
def test_values_and_columns_are_those_of_topk(n, n_columns, k, ties, seed):
    k = min(k, n_columns)
    generator = torch.Generator().manual_seed(seed % 2**32)
    values = torch.randn(n, n_columns, generator=generator)
    values = values.round() if ties else values
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MIN_COLUMNS", 1)  # in groups wherever they divide the columns
        found, columns = largest(values, k)
    assert torch.equal(found, values.gather(1, columns))
    assert torch.equal(found.sort(dim=1, descending=True).values, values.topk(k, dim=1).values)
    assert all(len(set(row)) == k for row in columns.tolist())


@pytest.mark.parametrize(("n_columns", "k"), [(6144, 32), (2048, 256), (2048, 257), (2047, 5)])
def test_wide_rows_with_equal_and_infinite_values(n_columns, k):
    values = torch.randn(20, n_columns, generator=torch.Generator().manual_seed(0)).relu()
    values[0] = 0
    values[1] = 1
    values[2, ::7] = float("inf")
    found, columns = largest(values, k)
    assert torch.equal(found.sort(dim=1, descending=True).values, values.topk(k, dim=1).values)
    assert torch.equal(found, values.gather(1, columns))
    assert all(len(set(row)) == k for row in columns.tolist())
