"""Functions of rules: what they make of a job's wildcards, input and attempt."""

from types import SimpleNamespace

from histoweave.wiring.functions import by_wildcards, memory, memory_of, minutes


def test_of_wildcards():
    job = SimpleNamespace(cohort="demo", model="concat", k="3", target="away")
    assert by_wildcards(lambda cohort, k: f"{cohort}/{k}")(job) == "demo/3"
    assert by_wildcards(lambda cohort, k: f"{cohort}/{k}", "target", "model")(job) == "away/concat"
    assert by_wildcards(lambda: ["a"])(job) == ["a"]


def test_memory_and_time_grow_with_each_attempt():
    assert memory(2000)(None, attempt=2) == 4000 and minutes(30)(None, attempt=3) == 90
    assert memory(2000, per_input_mb=20)(None, input=SimpleNamespace(size_mb=10.07), attempt=2) == 2 * 2201


def test_memory_of_an_input_is_asked_by_its_name():
    job = {"matrix": "rna.tsv", "sample_sheet": "sheet.tsv"}
    assert memory_of("matrix", {"rna.tsv": 700}.__getitem__)(None, input=job, attempt=2) == 1400
