"""Rule simulate_expression: the demo cohort's RNA counts, and which patient carries which factor."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        import pandas as pd

        from histoweave.settings.cohorts import Simulate
        from histoweave.simulate.expression import write_expression, write_truth

        patients = pd.DataFrame(list(smk.params.patients))
        settings = Simulate.handed_over(smk.params.settings)
        write_expression(smk.output.matrix, patients=patients, settings=settings)
        write_truth(smk.output.truth, patients=patients, settings=settings)


if __name__ == "__main__":
    main(snakemake)
