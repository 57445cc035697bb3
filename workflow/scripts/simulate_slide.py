"""Rule simulate_slide: one slide of the demo cohort, and where its planted regions are."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.config import Simulate
        from histoweave.simulate.slide import write_slide

        arguments = dict(smk.params.slide)
        settings = Simulate.model_validate(arguments.pop("settings"))
        write_slide(smk.output.slide, smk.output.truth, settings=settings, **arguments)


if __name__ == "__main__":
    main(snakemake)
