"""Rule evaluate_sites: the metrics with whole sites left out."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.config import Evaluation
        from histoweave.evaluation.site_check import evaluate_sites
        from histoweave.io import read_json, read_table, write_table

        metrics = evaluate_sites(
            list(zip(smk.params.models, map(read_table, smk.input.predictions), strict=True)),
            patients=read_table(smk.input.patients),
            how_folded=read_json(smk.input.how_folded),
            classes=list(smk.params.classes),
            modalities=list(smk.params.modalities),
            settings=Evaluation.model_validate(smk.params.settings),
            seed=smk.params.seed,
        )
        write_table(smk.output[0], metrics)


if __name__ == "__main__":
    main(snakemake)
