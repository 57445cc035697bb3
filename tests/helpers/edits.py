"""What can be done to a finished cohort of stubs before a dry run: to its configuration, its files, the code."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from running import ROOT
from stubs import COHORT

CHECKOUT = "checkout"
NOTHING = "nothing"


@dataclass
class Run:
    """A copy of the finished cohort to which something is done before a dry run.

    Attributes
    ----------
    folder: the working directory. config: written there before the dry run.
    arguments: further arguments of Snakemake.
    """

    folder: Path
    config: dict
    arguments: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The checkout that is run: this one, or the copy that a change has made."""
        own = self.folder / CHECKOUT
        return own if own.exists() else ROOT

    def set(self, path: str, value: Any) -> None:
        """Set the key at a dotted path."""
        *sections, key = path.replace("<name>", COHORT).split(".")
        place = self.config
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value

    def write(self) -> None:
        """Write the configuration, and the files that a changed key names."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config))


def replace(name: str, old: str, new: str) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        text = (run.folder / name).read_text()
        assert text.count(old) == 1, (name, old)
        (run.folder / name).write_text(text.replace(old, new))

    return change


def append(name: str, text: str) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        with (run.folder / name).open("a") as file:
            file.write(text)

    return change


def touch(*names: str) -> Callable[[Run], None]:
    return lambda run: [os.utime(run.folder / name) for name in names] and None


def swapped_unseen(name: str) -> Callable[[Run], None]:
    """Other content of the size and time of before, as two files have that changed names."""

    def change(run: Run) -> None:
        path = run.folder / name
        before = path.stat()
        path.write_bytes(path.read_bytes()[::-1])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return change


def other_rights(name: str) -> Callable[[Run], None]:
    return lambda run: (run.folder / name).chmod(0o640)


def delete(name: str) -> Callable[[Run], None]:
    return lambda run: (run.folder / name).unlink()


def cut_short(name: str) -> Callable[[Run], None]:
    return lambda run: os.truncate(run.folder / name, 2)


def arguments(*arguments: str) -> Callable[[Run], None]:
    return lambda run: run.arguments.extend(arguments)


def checkout(run: Run) -> None:
    """A copy of the checkout with new times of all files."""
    own = run.folder / CHECKOUT
    own.mkdir()
    shutil.copy(ROOT / "Snakefile", own)
    for name in ("rules", "workflow", "profiles", "envs"):
        shutil.copytree(ROOT / name, own / name, copy_function=shutil.copy)


def code(module: str, text: str = "\nCHANGED = True\n") -> Callable[[Run], None]:
    def change(run: Run) -> None:
        checkout(run)
        append(f"{CHECKOUT}/workflow/histoweave/{module}", text)(run)

    return change


def new_key(section: str) -> Callable[[Run], None]:
    """A release whose section of the configuration has one key more, with a default; no rule reads it yet."""
    module, name = f"{CHECKOUT}/workflow/histoweave/settings/{section}.py", f"class {section.capitalize()}(Section):"
    if section == "cohorts":
        name = "class Cohort(Section):"

    def change(run: Run) -> None:
        checkout(run)
        text = (run.folder / module).read_text()
        head, found, rest = text.partition(name)
        docstring, end, body = rest.partition('."""\n')
        assert found and end, f"{module} holds no {name}"
        (run.folder / module).write_text(f"{head}{found}{docstring}{end}\n    added: int = 1\n{body}")

    return change


def environment(run: Run) -> None:
    checkout(run)
    append(f"{CHECKOUT}/envs/slides.yaml", "\n# other\n")(run)
    append(f"{CHECKOUT}/envs/torch.yaml", "\n# other\n")(run)


def profile(run: Run) -> None:
    """Another profile: what a cluster's says, without its executor."""
    lines = (ROOT / "profiles/slurm/config.yaml").read_text().splitlines()
    settings = {
        key: value
        for key, value in yaml.safe_load("\n".join(lines)).items()
        if not key.startswith("slurm") and key != "executor"
    }
    (run.folder / "profile").mkdir()
    (run.folder / "profile/config.yaml").write_text(yaml.safe_dump(settings))
    arguments("--workflow-profile", str(run.folder / "profile"))(run)


def key(path: str, value: Any) -> Callable[[Run], None]:
    return lambda run: run.set(path, value)
