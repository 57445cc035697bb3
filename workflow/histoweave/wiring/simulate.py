"""What the rules of a simulated cohort ask."""

from __future__ import annotations

from typing import Any

from histoweave.simulate.factors import factors
from histoweave.wiring.tissue import Wiring


class SimulateWiring:
    """What the slides and the RNA of simulated cohorts are drawn by.

    Parameters
    ----------
    wiring : of the same run.
    """

    def __init__(self, wiring: Wiring):
        self._wiring = wiring
        self._patients = {name: table.patients.set_index("patient") for name, table in wiring.tables.items()}

    def slides(self, cohort: str, shard: str) -> list[dict[str, Any]]:
        """Arguments of `simulate.slide.write_slide` for each slide of a shard, with only the settings that concern it."""
        patients = self._wiring.patients_of(cohort, shard)
        return [self._slide(cohort, slide, patient) for slide, patient in patients.items()]

    def _slide(self, cohort: str, slide: str, patient: str) -> dict[str, Any]:
        settings = self._wiring.tables[cohort].simulate
        row = self._patients[cohort].loc[patient]
        truth = factors(patient, positive=row["label"] == self._wiring.classes(cohort)[-1], seed=settings.seed)
        own: dict = {"without_rna": [], "duplicate_aliquot": [], "library_scale": 1.0}
        own |= {key: [slide] if slide in getattr(settings, key) else [] for key in ("no_mpp", "no_tissue", "truncated")}
        return {
            "slide": slide,
            "patient": patient,
            "site": row["site"],
            "image_factor": truth.image,
            "settings": settings.model_copy(update=own).model_dump(),
        }

    def patients(self, cohort: str) -> list[dict[str, Any]]:
        """`patient`, `label`, `positive`, `site` of the simulated patients, in the order of the table."""
        positive = self._wiring.classes(cohort)[-1]
        return [
            {"patient": row.Index, "label": row.label, "positive": row.label == positive, "site": row.site}
            for row in self._patients[cohort].itertuples()
        ]

    def expression_settings(self, cohort: str) -> dict[str, Any]:
        """The simulation settings that concern the RNA."""
        settings = self._wiring.tables[cohort].simulate
        return settings.model_copy(update={"no_mpp": [], "no_tissue": [], "truncated": [], "stain": 0.0}).model_dump()
