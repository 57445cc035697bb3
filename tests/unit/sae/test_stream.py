"""Tokens from files in random order: each once a pass, and the memory stays flat however large the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sae_fixtures import shard

from histoweave.sae.stream import Stream


def small_stream(path, *, n=1000, per_image=7, buffer_rows=64, seed=0):
    values = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    return Stream(shard(path, values, per_image=per_image), seed=seed, buffer_bytes=8 * buffer_rows)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 300),
    per_image=st.integers(1, 90),
    buffer_rows=st.sampled_from([2, 64, 200, 1000]),
    size=st.integers(1, 120),
    epochs=st.sampled_from([0.3, 1.0, 2.0, 2.5]),
)
def test_every_pass_gives_every_token_once(tmp_path_factory, n, per_image, buffer_rows, size, epochs):
    stream = small_stream(tmp_path_factory.mktemp("a") / "a.h5", n=n, per_image=per_image, buffer_rows=buffer_rows)
    batches = list(stream.batches(size, epochs=epochs))
    rows = np.concatenate(batches)[:, 0].astype(int) // 2
    assert len(rows) == max(1, round(epochs * n)) == stream.n_tokens(epochs=epochs)
    assert len(batches) == stream.n_batches(size, epochs=epochs)
    assert {len(batch) for batch in batches[:-1]} <= {size}
    for start in range(0, len(rows), n):
        one_pass = rows[start : start + n]
        assert len(set(one_pass)) == len(one_pass)
    if epochs >= 1:
        assert set(rows[:n]) == set(range(n))


@pytest.mark.parametrize("buffer_rows", [128, 5000])
def test_the_order_is_mixed_new_in_each_pass_and_set_by_the_seed(tmp_path, buffer_rows):
    orders = []
    for seed in (0, 0, 1):
        stream = small_stream(tmp_path / "a.h5", buffer_rows=buffer_rows, seed=seed)
        orders.append(np.concatenate(list(stream.batches(50, epochs=2)))[:, 0])
    assert (orders[0] == orders[1]).all()
    assert (orders[0] != orders[2]).mean() > 0.9
    assert (orders[0][:1000] != orders[0][1000:]).mean() > 0.9
    assert abs(np.corrcoef(orders[0][:1000], np.arange(1000))[0, 1]) < 0.2
    neighbours = np.abs(np.diff(orders[0][:1000])) == 2
    assert neighbours.mean() < 0.1


@pytest.mark.parametrize("buffer_rows", [128, 5000])
def test_a_sample_holds_tokens_from_all_over_once_and_is_set_by_the_seed(tmp_path, buffer_rows):
    rows = [small_stream(tmp_path / "a.h5", buffer_rows=buffer_rows, seed=seed).sample(200)[:, 0] for seed in (0, 0, 1)]
    assert (rows[0] == rows[1]).all()
    assert set(rows[0]) != set(rows[2])
    assert len(set(rows[0])) == len(rows[0]) and 100 <= len(rows[0]) <= 200
    counts, _ = np.histogram(rows[0], bins=5, range=(0, 2000))
    assert (counts > 10).all()
    assert len(small_stream(tmp_path / "a.h5", buffer_rows=buffer_rows).sample(5)) == 5


_PEAK = """
import re, sys, torch
from pathlib import Path
from histoweave.sae.scaling import measure
from histoweave.sae.stream import Stream
from histoweave.sae.tokens import Tokens, cell_blocks
tokens = Tokens(cell_blocks(sys.argv[1]))
assert measure(tokens, device=torch.device("cpu")).n_tokens == tokens.n_tokens
stream = Stream(tokens, seed=0, buffer_bytes=8 << 20)
assert sum(len(batch) for batch in stream.batches(1024, epochs=1)) == int(sys.argv[2])
# Of this program alone: ru_maxrss begins with the peak of the process that started it.
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc (Linux)")
def test_memory_stays_flat_when_the_file_grows_tenfold(tmp_path):
    peaks = []
    for n in (20_480, 204_800):
        shard(tmp_path / f"{n}.h5", np.tile(np.eye(128, dtype=np.float32), (n // 128, 1)), per_image=257)
        run = subprocess.run(
            [sys.executable, "-c", _PEAK, str(tmp_path / f"{n}.h5"), str(n)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert run.returncode == 0, run.stderr
        peaks.append(int(run.stdout) * 1024)
    assert peaks[1] - peaks[0] < 50e6, peaks
