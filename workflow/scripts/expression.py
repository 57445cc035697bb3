"""Rule expression: one row of log2 values per patient."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.config import ExpressionInput
        from histoweave.expression.stage import run_expression

        run_expression(
            ExpressionInput.model_validate(smk.params.source),
            patients=set(smk.params.patients),
            tcga=smk.params.tcga,
            out={name: smk.output[name] for name in ("expression", "samples", "genes", "report")},
        )


if __name__ == "__main__":
    main(snakemake)
