"""Rule confounding: whether site, scanner or another column could stand behind the results."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.evaluation.confounding import confounding
        from histoweave.fusion.tile_summary import read_means
        from histoweave.settings.evaluation import Evaluation
        from histoweave.storage.files import read_json, read_table, write_table

        given = dict(smk.input.items())
        table = confounding(
            read_table(smk.input.predictions),
            patients=read_table(smk.input.patients),
            folds=read_table(smk.input.folds),
            by_patient=read_json(smk.input.folds_json)["group_by"] == "patient",
            slides=read_table(given["slides"]) if "slides" in given else None,
            expression=read_table(given["expression"]) if "expression" in given else None,
            whole_sites=read_table(smk.input.whole_sites[0]) if smk.input.whole_sites else None,
            classes=list(smk.params.classes),
            models=list(smk.params.models),
            modalities=list(smk.params.modalities),
            settings=Evaluation.handed_over(smk.params.settings),
            seed=smk.params.seed,
            means=read_means(given["summary"]) if "summary" in given else None,
        )
        print(table.to_string())
        write_table(smk.output[0], table)


if __name__ == "__main__":
    main(snakemake)
