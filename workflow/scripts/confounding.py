"""Rule confounding: whether site, scanner or another column could stand behind the results."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.config import Evaluation
        from histoweave.evaluation.confounding import confounding
        from histoweave.io import read_json, read_table, write_table

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
            settings=Evaluation.model_validate(smk.params.settings),
            seed=smk.params.seed,
        )
        print(table.to_string())
        write_table(smk.output[0], table)


if __name__ == "__main__":
    main(snakemake)
