"""Rule decide: calibration, conformal sets, abstention, decision curves and subgroups of the out-of-fold predictions."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.decide.decide import decide
        from histoweave.settings.decide import Decide
        from histoweave.settings.evaluation import Evaluation
        from histoweave.storage.files import read_json, read_table, write_table

        tables = decide(
            list(zip(smk.params.models, map(read_table, smk.input.predictions), strict=True)),
            patients=read_table(smk.input.patients),
            how_folded=read_json(smk.input.how_folded),
            classes=list(smk.params.classes),
            modalities=list(smk.params.modalities),
            settings=Decide.handed_over(smk.params.settings),
            evaluation=Evaluation.handed_over(smk.params.evaluation),
            seed=smk.params.seed,
        )
        print("\n".join(tables["findings"]["says"]))
        for name, table in tables.items():
            write_table(smk.output[name], table)


if __name__ == "__main__":
    main(snakemake)
