"""The limit of job starts: Snakemake's default goes, a user's stays, and a run with many jobs is scheduled no oftener."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from running import ROOT
from snakemake.cli import get_argument_parser
from snakemake.scheduling.job_scheduler import JobRateLimiter
from snakemake.settings.types import MaxJobsPerTimespan

from histoweave.wiring.scheduling import start_jobs_without_delay


def limited(limit):
    return SimpleNamespace(scheduler=SimpleNamespace(job_rate_limiter=limit and JobRateLimiter(limit)))


def test_snakemakes_own_default_is_the_one_that_goes():
    default = get_argument_parser().get_default("max_jobs_per_timespan")
    workflow = limited(MaxJobsPerTimespan.parse_choice(default))
    start_jobs_without_delay(workflow)
    assert workflow.scheduler.job_rate_limiter is None
    start_jobs_without_delay(workflow)
    assert workflow.scheduler.job_rate_limiter is None


@pytest.mark.parametrize("limit", ["100/1m", "10/1s"])
def test_a_limit_of_the_user_stays(limit):
    workflow = limited(MaxJobsPerTimespan.parse_choice(limit))
    start_jobs_without_delay(workflow)
    assert workflow.scheduler.job_rate_limiter is not None


TOY = """
import sys
sys.path.insert(0, {library!r})
from histoweave.wiring.scheduling import start_jobs_without_delay

onstart:
    start_jobs_without_delay(workflow)
rule all:
    input: expand("{{i}}.txt", i=range(40))
rule one:
    output: "{{i}}.txt"
    shell: "sleep 0.3; touch {{output}}"
"""


def test_the_scheduler_turns_about_once_a_job(tmp_path):
    """Without the call it turned 72 times here."""
    (tmp_path / "Snakefile").write_text(TOY.format(library=str(ROOT / "workflow")))
    command = [sys.executable, "-m", "snakemake", "--cores", "4", "--scheduler", "greedy", "--verbose"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    assert 10 <= (run.stdout + run.stderr).count("Resources before job selection") <= 45
