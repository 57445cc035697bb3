"""How Snakemake starts jobs."""

from __future__ import annotations

from typing import Any

# Of Snakemake, where nobody has set another: 100 starts in 1 s.
_DEFAULT_LIMIT = (100, 1)


def start_jobs_without_delay(workflow: Any) -> None:
    """Take the default limit of job starts per second away. A limit that the user has set stays.

    With a limit, each turn of Snakemake's scheduler that leaves jobs waiting starts a timer for another turn a second later
    (tried with 9.27.1), and each job that ends begins one more such chain: after n jobs the scheduler turns n times a second
    and looks at all waiting jobs each time.

    workflow : Snakemake's, once its scheduler is made (`onstart`).
    """
    limiter = workflow.scheduler.job_rate_limiter
    if limiter is not None and (limiter.max_jobs, limiter.timespan) == _DEFAULT_LIMIT:
        workflow.scheduler.job_rate_limiter = None
