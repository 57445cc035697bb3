"""Memory that was freed is used again without asking the operating system for it."""

from __future__ import annotations

import platform

import pytest
from fresh_process import printed

_FAULTS = """
import resource
import torch
from histoweave.mechanics.memory import keep_freed_memory
if {keep}:
    keep_freed_memory()
for step in range(30):
    if step == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(25_000_000)  # 100 MB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*, keep: bool) -> int:
    return int(printed(_FAULTS.format(keep=keep)))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_large_blocks_are_kept():
    assert 10 * faults(keep=True) < faults(keep=False)
