"""Rule cohort: join patients, slides and RNA; who was lost where and why."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.cohort.join import run_cohort
        from histoweave.cohort.tables import NO_SLIDES, read_patients_table, read_slides_table
        from histoweave.settings.cohorts import Cohort
        from histoweave.storage.files import read_table
        from histoweave.storage.records import artefacts

        # Not `handed_over`: whether an external cohort's label column was named counts, and a default is none.
        cohort = Cohort.model_validate(smk.params.cohort)
        patients, reading = read_patients_table(cohort)
        readings = [reading]
        ids = set(patients["patient"])
        # A slide that has vanished since the run began has a status by now.
        slides = NO_SLIDES
        if cohort.slides:
            slides, reading = read_slides_table(cohort, patients=ids, check_paths=False)
            readings.append(reading)
        samples = smk.input.get("samples")
        given = {"image": cohort.slides, "expression": samples}
        run_cohort(
            patients,
            slides,
            samples=read_table(samples) if samples else None,
            tiles=artefacts(smk.input.get("tiles", [])),
            features=artefacts(smk.input.get("features", [])),
            modalities={name for name, source in given.items() if source},
            needs_label=cohort.role == "train",
            tcga=cohort.ids == "tcga",  # as it was decided when the run began
            readings=readings,
            out={name: smk.output[name] for name in ("patients", "slides", "flow", "read")},
        )


if __name__ == "__main__":
    main(snakemake)
