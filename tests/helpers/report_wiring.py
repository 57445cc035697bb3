"""The wiring of the report, by a configuration as it is written."""

from histoweave.wiring import tissue as wiring
from histoweave.wiring.apply import ApplyWiring
from histoweave.wiring.cells import CellWiring, check_cells
from histoweave.wiring.decide import DecideWiring
from histoweave.wiring.explain import ExplainWiring
from histoweave.wiring.report import ReportWiring
from histoweave.wiring.run import load


def report_of(raw):
    config, tables = load(raw, check_paths=False)
    paths = wiring.Wiring(config, tables)
    cells = CellWiring(config, check_cells(config, check_paths=False), {})
    explain = ExplainWiring(paths, cells)
    return ReportWiring(paths, explain, DecideWiring(config, paths), cells, ApplyWiring(config, paths))
