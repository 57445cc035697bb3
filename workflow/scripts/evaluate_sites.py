"""Rule evaluate_sites: the metrics with whole sites left out."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.evaluation.site_check import evaluate_sites
        from histoweave.settings.evaluation import Evaluation
        from histoweave.storage.files import read_json, read_table, write_table

        metrics = evaluate_sites(
            list(zip(smk.params.models, map(read_table, smk.input.predictions), strict=True)),
            patients=read_table(smk.input.patients),
            how_folded=read_json(smk.input.how_folded),
            classes=list(smk.params.classes),
            modalities=list(smk.params.modalities),
            settings=Evaluation.handed_over(smk.params.settings),
            seed=smk.params.seed,
        )
        write_table(smk.output[0], metrics)


if __name__ == "__main__":
    main(snakemake)
