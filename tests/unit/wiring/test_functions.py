"""Functions of rules: what they make of a job's wildcards, input and attempt."""

from types import SimpleNamespace

from snakemake.io import is_flagged
from snakemake.iocontainers import Namedlist

from histoweave.wiring.functions import by_wildcards, kept_if, memory, memory_of, minutes


class Files(Namedlist):
    """A job's inputs with sizes, as Snakemake hands them over."""

    def __init__(self, named):
        super().__init__()
        for name, files in named.items():
            many = files if isinstance(files, list) else [files]
            first = len(self)
            self.extend(many)
            self._set_name(name, first, end=first + len(many) if isinstance(files, list) else None)


def test_of_wildcards():
    job = SimpleNamespace(cohort="demo", model="concat", k="3", target="away")
    assert by_wildcards(lambda cohort, k: f"{cohort}/{k}")(job) == "demo/3"
    assert by_wildcards(lambda cohort, k: f"{cohort}/{k}", "target", "model")(job) == "away/concat"
    assert by_wildcards(lambda: ["a"])(job) == ["a"]


def test_memory_and_time_grow_with_each_attempt():
    assert memory(2000)(None, attempt=2) == 4000 and minutes(30)(None, attempt=3) == 90


def test_memory_does_not_grow_with_what_is_mapped():
    files = Files({"slides": ["a"], "projected": ["b", "c"], "other_projected": "d", "expression": "e"})
    files.size_files = [10 * 1024**2, 9 * 1024**3, 9 * 1024**3, 1024**3, 1024**2 // 8]
    assert memory(2000, per_input_mb=20)(None, input=files, attempt=2) == 2 * 2202


def test_an_output_is_kept_or_removed():
    assert kept_if(True, "x") == "x" and is_flagged(kept_if(False, "x"), "temp")


def test_memory_of_an_input_is_asked_by_its_name():
    job = {"matrix": "rna.tsv", "sample_sheet": "sheet.tsv"}
    assert memory_of("matrix", {"rna.tsv": 700}.__getitem__)(None, input=job, attempt=2) == 1400
