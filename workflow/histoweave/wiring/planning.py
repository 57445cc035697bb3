"""What is made anew besides what Snakemake finds by itself, and by which settings the results of a cohort were made.

Nothing is removed to have it made again: the files are forced while Snakemake plans, as `--forcerun` would. So a dry run, a
summary and a run plan the same, and only a run changes anything.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from histoweave.errors import InputError, short
from histoweave.settings.config import Config
from histoweave.storage.files import read_json, write_json

SETTINGS = "settings.json"
PAGES = ("report.html", "concepts.html")
# Below a cohort's folder: what tells how a run went, no result.
_NO_RESULTS = {"logs", "benchmarks"}
_WHOLE = "all"


def settings_of(config: Config, *, privacy: Mapping[str, Any], code: Mapping[str, Any]) -> dict[str, Any]:
    """Everything besides the user's files that decides results: the configuration without mechanics, and the code.

    Parameters
    ----------
    privacy : of `wiring.privacy.privacy_params`. code : fingerprints of the code of stages.
    """
    shown = config.model_dump(mode="json", exclude={"mechanics", "exports"})
    return {"config": shown, "privacy": dict(privacy), "code": dict(code)}


class Guard:
    """Checks that only some rules need, made once, when Snakemake asks for the inputs of the first such rule: before any
    job, and not at all where none of them is asked for.

    Parameters
    ----------
    checks : raise `InputError`, which ends the run with one line.
    active : whether to check at all; a job need not.
    """

    def __init__(self, *checks: Callable[[], None], active: bool):
        self._checks = checks if active else ()

    def __call__(self, function: Callable) -> Callable:
        """An input function that checks before it answers."""

        @functools.wraps(function)
        def guarded(*arguments: Any, **more: Any) -> Any:
            checks, self._checks = self._checks, ()
            for check in checks:
                _or_exit(check)
            return function(*arguments, **more)

        return guarded


class Plan:
    """What one run of Snakemake makes anew, and the record of the settings that made the results of its cohorts.

    The record lies beside the results, as `results/<cohort>/settings.json`: `settings`, and `mixed`, which is true from
    the start of a run with other settings until one of everything (`all`) has ended well.

    Parameters
    ----------
    workflow : Snakemake's.
    untrue : index of a shard → slides whose files are not what it promises (see `storage.records.untrue_indexes`).
    settings : of `settings_of`. cohorts : names of all cohorts.
    check : raises `InputError` where a run could not write; ends the run with one line.
    """

    def __init__(
        self,
        workflow: Any,
        *,
        untrue: Mapping[Path, list[str]],
        settings: Mapping[str, Any],
        cohorts: Iterable[str],
        check: Callable[[], None],
    ):
        self._workflow = workflow
        self._untrue = untrue
        self._settings = dict(settings)
        self._cohorts = list(cohorts)
        self._check = check
        self._forced = not workflow.is_main_process  # a job is told what to make

    def __call__(self, files: Any) -> Any:
        """`files`, as an input function returns them. The first such call forces what has to be made anew: Snakemake asks
        for the inputs of jobs first, and then which jobs are due."""
        if not self._forced:
            self._forced = True
            due = list(map(str, self._untrue))
            for cohort in self._cohorts:
                due += self._of_unknown_settings(cohort)
            self._workflow.dag.forcefiles.update(due)
            if due and self._is_run():
                # Before Snakemake finds files that it may not overwrite, and takes them for files that someone protects.
                _or_exit(self._check)
        return files

    def _is_run(self) -> bool:
        """Neither a dry run nor a summary."""
        return self._workflow.executor_plugin is not None and not self._workflow.dryrun

    def begin(self) -> None:
        """Note, before the first job, that results of these settings are going to lie beside those that are there.

        Raises
        ------
        InputError
            where it cannot be written, nor anything else.
        """
        self._check()
        for cohort in self._cohorts:
            record = self._record(cohort)
            mixed = bool(self._problem(record)) if record else any(_results(Path("results", cohort)))
            self._write(cohort, mixed=mixed)

    def end(self) -> None:
        """Note, after the last job of a run of everything, that all results are of these settings."""
        asked = self._workflow.dag_settings
        part = asked.until or asked.omit_from or asked.batch or asked.allowed_rules
        if not part and {rule.name for rule in self._workflow.dag.targetrules} == {_WHOLE}:
            for cohort in self._cohorts:
                self._write(cohort, mixed=False)

    def pages(self) -> list[str]:
        """The pages that this run made or found up to date, sorted: reports, concepts, external cohorts."""
        made = {str(path) for job in self._workflow.dag.jobs for path in job.output}
        return sorted(path for path in made if Path(path).name in PAGES and Path(path).exists())

    def _write(self, cohort: str, *, mixed: bool) -> None:
        write_json(Path("results", cohort, SETTINGS), {"settings": self._settings, "mixed": mixed})

    def _record(self, cohort: str) -> dict[str, Any]:
        """The record of a cohort; empty without one, or where it cannot be read."""
        try:
            record = read_json(Path("results", cohort, SETTINGS))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) and isinstance(record.get("settings"), dict) else {}

    def _problem(self, record: Mapping[str, Any]) -> str:
        """Why results may be of other settings, in words; empty if they are of the present ones for sure."""
        if not record:
            return f"there is no {SETTINGS} with their settings"
        changes = list(dict.fromkeys(_changes(record["settings"], self._settings)))
        if changes:
            more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
            return f"{changes[0]}{more}"
        return "the settings were changed in the meantime" if record.get("mixed", True) else ""

    def _of_unknown_settings(self, cohort: str) -> list[str]:
        """Results of which neither Snakemake (`.snakemake`) nor the cohort's record knows that these settings made them."""
        problem = self._problem(self._record(cohort))
        if not problem:
            return []
        found = [path for path in _results(Path("results", cohort)) if self._unrecorded(path)]
        if found and not self._workflow.touch:
            print(
                f"{len(found)} results of cohort '{cohort}' will be computed again: .snakemake has no record of how they "
                f"were made, and {problem}; restore the .snakemake folder of these results, or call Snakemake with --touch "
                "if you know that they are correct",
                file=sys.stderr,
            )
        return found

    def _unrecorded(self, path: str) -> bool:
        from snakemake.io import IOFile

        if self._workflow.persistence.metadata(IOFile(path)) is not None:
            return False
        return any(rule.is_producer(path) for rule in self._workflow.rules)


def _or_exit(check: Callable[[], None]) -> None:
    """End the run with one line where `check` finds a fault."""
    try:
        check()
    except InputError as error:
        sys.exit(f"error: {error}")


def _results(folder: Path) -> Iterator[str]:
    """Files that rules may have made. Folders with one file per slide hold an index, of which Snakemake knows alone."""
    for place, folders, files in os.walk(folder):
        if Path(place) == folder:
            folders[:] = [name for name in folders if name not in _NO_RESULTS]
            files = [name for name in files if name != SETTINGS]
        if "shards" in folders and "simulated" not in Path(place).parts:
            folders[:], files = ["shards"], []
        yield from (str(Path(place, name)) for name in sorted(files) if not name.startswith("."))


def _changes(before: Any, now: Any, key: str = "") -> Iterator[str]:
    """Every key whose value is another one, in words."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*before, *now]):
            yield from _changes(before.get(name), now.get(name), f"{key}.{name}" if key else str(name))
    elif before != now and key.startswith(("code.", "privacy.code")):
        yield "the code has changed"
    elif before != now:
        yield f"{key.removeprefix('config.')} was {short(before)} and is {short(now)}"
