"""Rule simulate_expression: the demo cohort's RNA counts, and which patient carries which factor."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        import pandas as pd

        from histoweave.config import Simulate
        from histoweave.simulate.expression import write_expression, write_truth

        patients = pd.DataFrame(list(smk.params.patients))
        settings = Simulate.model_validate(smk.params.settings)
        write_expression(smk.output.matrix, patients=patients, settings=settings)
        write_truth(smk.output.truth, patients=patients, settings=settings)


if __name__ == "__main__":
    main(snakemake)
