"""Rule control_reference: a model without a network, refitted on all shuffles of the labels."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.fusion.null import refit_shuffles
        from histoweave.settings.fusion import Fusion
        from histoweave.storage.files import read_table, write_table

        labels, folds = read_table(smk.input.labels), read_table(smk.input.folds)
        table = refit_shuffles(
            smk.wildcards.model,
            labels=labels[labels["shuffle"] < smk.params.shuffles],
            folds=folds,
            patients=read_table(smk.input.patients),
            slides=read_table(smk.input.slides),
            expression=read_table(smk.input.expression) if "expression" in smk.input.keys() else None,
            classes=list(smk.params.classes),
            settings=Fusion.handed_over(smk.params.settings),
            seed=smk.params.seed,
            device="cpu",
            summary=smk.input.get("summary"),
        )
        write_table(smk.output.predictions, table)


if __name__ == "__main__":
    main(snakemake)
