"""Rule simulate_slide: one slide of the demo cohort, and where its planted regions are."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.settings.cohorts import Simulate
        from histoweave.simulate.slide import write_slide

        arguments = dict(smk.params.slide)
        settings = Simulate.handed_over(arguments.pop("settings"))
        write_slide(smk.output.slide, smk.output.truth, settings=settings, **arguments)


if __name__ == "__main__":
    main(snakemake)
