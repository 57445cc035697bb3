"""Rule expression: one row of log2 values per patient."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.expression.prepare import run_expression
        from histoweave.settings.cohorts import ExpressionInput

        run_expression(
            ExpressionInput.handed_over(smk.params.source),
            patients=set(smk.params.patients),
            tcga=smk.params.tcga,
            out={name: smk.output[name] for name in ("expression", "samples", "genes", "report")},
        )


if __name__ == "__main__":
    main(snakemake)
