"""Rule explain: what drives the classes, whether the explanations hold, and each patient's own."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.explain.explain import Truth, summarise
        from histoweave.explain.tables import read_folds
        from histoweave.settings.evaluation import Evaluation
        from histoweave.settings.explain import Explain
        from histoweave.simulate.truth import truth_files
        from histoweave.storage.files import read_table, write_table

        truth = None
        if "simulated" in smk.input.keys():
            truth = Truth(
                read_table(smk.input.slides), smk.params.tile_um, read_folds(truth_files(smk.input.simulated))
            )
        tables = summarise(
            **{name: read_folds(smk.input[name]) for name in ("tiles", "genes", "faithfulness", "stability")},
            predictions=read_folds(smk.input.predictions),
            classes=list(smk.params.classes),
            settings=Explain.handed_over(smk.params.settings),
            gene_sets=smk.input.get("gene_sets"),
            evaluation=Evaluation.handed_over(smk.params.evaluation),
            seed=smk.params.seed,
            truth=truth,
        )
        for name, table in tables.items():
            write_table(smk.output[name], table)


if __name__ == "__main__":
    main(snakemake)
