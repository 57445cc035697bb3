"""What the report reads of how long jobs took."""

from __future__ import annotations

import dataclasses

import numpy as np
from report_data import write_run
from report_text import text_of

from histoweave.pages.report.inputs import read_benchmarks, read_slide_speed, read_tables
from histoweave.pages.report.run.still import stage_times
from histoweave.storage.files import write_json
from histoweave.storage.records import Outcome, Record


def test_benchmarks_by_stage(tmp_path):
    header = "s\th:m:s\tmax_rss\n"
    for name, line in {
        "features/r50/a.tsv": "2.0\t0:00:02\t100.0", "features/r50/b.tsv": "4.0\t0:00:04\t300.0",
        "cohort.tsv": "0.1\t0:00:00\t-",
    }.items():  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{header}{line}\n")
    table = read_benchmarks(tmp_path)
    assert table["stage"].tolist() == ["cohort", "features/r50", "features/r50"]
    assert np.isnan(table["max_rss_mb"].iloc[0])
    tables = dataclasses.replace(read_tables(write_run(tmp_path / "run", optional=False)), benchmarks=table)
    times = stage_times(tables)
    assert times.index.tolist() == ["features/r50", "cohort"]
    assert times.loc["features/r50"].to_dict() == {
        "jobs": 2, "total_s": 6.0, "median_s": 3.0, "max_rss_mb": 300.0, "jobs_per_min": 20.0,
    }  # fmt: skip
    assert read_benchmarks(None).empty


def test_tiles_per_second_come_from_the_slides_records(tmp_path):
    indexes = []
    for stage, seconds in (("tiles", 0.5), ("features/r50", 4.0)):
        records = [
            Record(slide, Outcome("ok", n_tiles=n_tiles), {}, {}, seconds) for slide, n_tiles in (("a", 30), ("b", 50))
        ]
        indexes.append(tmp_path / stage / "shards" / "0-of-1.json")
        write_json(indexes[-1], [dataclasses.asdict(record) for record in records])
    table = read_slide_speed(indexes).set_index("stage")
    assert table.loc["tiles"].to_dict() == {"slides": 2, "tiles": 80, "seconds": 1.0, "tiles_per_s": 80.0}
    assert table.loc["features: r50", "tiles_per_s"] == 10.0
    run = write_run(tmp_path / "run")
    text = text_of(dataclasses.replace(run, slide_indexes=indexes), tmp_path / "report.html")
    assert "Tiles per second" in text and "features: r50" in text
    assert read_slide_speed([]).empty
