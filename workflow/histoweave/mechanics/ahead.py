"""Work that is done ahead of who asks for it, by threads that step aside."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


Result = TypeVar("Result")


def _step_aside() -> None:
    """Lower the priority of this thread, so that reading fills the gaps of computing and does not interrupt it."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def ahead(function: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Generator[Result, None, None]:
    """`function` of each item, in order, by threads that are at most a few items ahead of the consumer."""
    with ThreadPoolExecutor(workers, initializer=_step_aside) as pool:
        waiting: deque = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
