"""How the process takes memory from the operating system."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>
_KEPT_BYTES = 1 << 30


def keep_freed_memory() -> None:
    """From here on, the process keeps memory that it frees, for what it needs next.

    glibc gives blocks of more than 32 MB back at once, and the kernel clears every page of the next one anew. A step
    of training takes and frees the same few blocks again and again; the peak stays what it was. Other C libraries are
    left as they are.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def give_back_freed_memory() -> None:
    """Hand what the process has freed back to the operating system.

    glibc and Arrow keep it: after a matrix was read from text, that is as much again as the matrix.
    """
    import pyarrow as pa  # takes half a second, and only some who import this module need it

    pa.default_memory_pool().release_unused()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
