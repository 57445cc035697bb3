"""What the rule of provenance asks."""

from __future__ import annotations

from histoweave.report_wiring import ReportWiring


class ProvenanceWiring:
    """Which files a crate tells of.

    Parameters
    ----------
    report : of the cohorts with slides or RNA.
    """

    def __init__(self, report: ReportWiring):
        self._report, self._wiring = report, report.wiring

    def crates(self) -> list[str]:
        """The crate of every such cohort."""
        return [f"results/{cohort}/ro-crate-metadata.json" for cohort in self._wiring.trained()]

    def inputs(self, cohort: str) -> dict[str, list[str]]:
        """`sources` (the user's files), `results` (the same in equal runs) and `pages` (which tell of times)."""
        root, given = f"results/{cohort}", self._report.inputs(cohort)
        left_out = ("sources", "histories", "slide_indexes", "overlay_indexes")
        read = [files for name, files in given.items() if name not in left_out]
        tables = [path for files in read for path in ([files] if isinstance(files, str) else files)]
        fitted = self._wiring.fold_files(cohort, "fusion", "model.safetensors")
        gene_sets = self._wiring.config.fusion.gene_sets
        weights = self._wiring.encoder_weights() if "slides" in given else []
        return {
            "sources": list(dict.fromkeys([*given["sources"], *weights, *([gene_sets] if gene_sets else [])])),
            "results": [*tables, *fitted, f"{root}/report.json", f"{root}/metrics.tsv"],
            "pages": [f"{root}/report.html"],
        }
