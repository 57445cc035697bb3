"""Rule decide: calibration, conformal sets, abstention, decision curves and subgroups of the out-of-fold predictions."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.config import Decide, Evaluation
        from histoweave.decide.stage import decide
        from histoweave.io import read_json, read_table, write_table

        tables = decide(
            list(zip(smk.params.models, map(read_table, smk.input.predictions), strict=True)),
            patients=read_table(smk.input.patients),
            how_folded=read_json(smk.input.how_folded),
            classes=list(smk.params.classes),
            modalities=list(smk.params.modalities),
            settings=Decide.model_validate(smk.params.settings),
            evaluation=Evaluation.model_validate(smk.params.evaluation),
            seed=smk.params.seed,
        )
        print("\n".join(tables["findings"]["says"]))
        for name, table in tables.items():
            write_table(smk.output[name], table)


if __name__ == "__main__":
    main(snakemake)
