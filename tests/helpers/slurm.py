"""Snakemake on the one-node SLURM of the tests, and what the cluster saw of it."""

import os
import signal
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from running import ROOT

# What the profile leaves to the user, and what a cluster in miniature needs. It has no accounting and no shared file
# system. A check that finds no job ended adds 10 s to the next wait: most single jobs take less than the first wait.
# A short queue: what waits in it when the controller is killed runs twice. Threads as with `--cores all`.
ARGUMENTS = (
    "--workflow-profile", ROOT / "profiles" / "slurm",
    "--slurm-status-command", "squeue",
    "--slurm-init-seconds-before-status-checks", 8,
    "--jobs", 8,
    "--latency-wait", 5,
    "--max-threads", os.cpu_count(),
    "--default-resources", "slurm_partition=main",
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What a job held, and when (seconds since the epoch). `devices`: CUDA_VISIBLE_DEVICES as the job saw it."""

    begin: float
    end: float
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Slurm:
    """The running cluster. `folder`: where it writes."""

    folder: Path

    def command(self, *arguments, snakefile=ROOT / "Snakefile"):
        """Snakemake's command line for a run through the profile."""
        return [sys.executable, "-m", "snakemake", "-s", *map(str, (snakefile, *ARGUMENTS, *arguments))]

    def start(self, *arguments, directory, **more):
        """Start Snakemake's controller; its output goes to `directory`/controller.txt."""
        with (directory / "controller.txt").open("a") as log:
            command = self.command(*arguments, **more)
            return subprocess.Popen(command, cwd=directory, stdout=log, stderr=subprocess.STDOUT, env=environment())

    def run(self, *arguments, directory, **more):
        """Run Snakemake to its end; returns its exit code."""
        return self.end(self.start(*arguments, directory=directory, **more))

    def end(self, process):
        """Wait for a controller; returns its exit code."""
        try:
            return process.wait(timeout=1500)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)  # cancels its jobs
                process.wait(timeout=60)

    def waiting_or_running(self, *states):
        """Ids of the jobs that the cluster still has. states: only those of squeue's `-t`."""
        command = ["squeue", "-h", "-o", "%i", *(f"--states={state}" for state in states)]
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return {int(job) for job in listed.stdout.split()}

    def signal(self, name, jobs):
        """Send a signal to all processes of running jobs, which keep what they hold; one that has just ended is none."""
        for job in jobs:
            subprocess.run(["scancel", "--full", f"--signal={name}", str(job)], capture_output=True, timeout=30)

    def tasks(self):
        """Job id → its task, for jobs that have ended."""
        begun, ended, devices = defaultdict(list), defaultdict(list), {}
        for line in (self.folder / "tasks.txt").read_text().splitlines():
            moment, job, seconds, *shown = line.split()
            (begun if moment == "begin" else ended)[int(job)].append(float(seconds))
            devices[int(job)] = tuple(shown[0].split(",")) if shown else ()
        return {job: Task(min(begun[job]), max(ended[job]), devices[job]) for job in begun if job in ended}


def environment():
    """This process's environment with its own Python first, as in an activated environment."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def jobs_of(directory, rule):
    """Job id → its wildcards as SLURM's log folders name them (`demo_fusion_image_0`), for all jobs of a rule."""
    logs = (directory / ".snakemake" / "slurm_logs" / f"rule_{rule}").glob("*/*.log")
    return {int(log.stem): log.parent.name for log in logs}
