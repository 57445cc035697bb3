"""Rule explain: what drives the classes, whether the explanations hold, and each patient's own."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.config import Evaluation
        from histoweave.explain.stage import Truth, summarise
        from histoweave.explain.tables import read_folds
        from histoweave.explain_config import Explain
        from histoweave.io import read_table, write_table

        truth = None
        if "truth" in smk.input.keys():
            truth = Truth(read_table(smk.input.slides), smk.params.tile_um, read_folds(smk.input.truth))
        tables = summarise(
            **{name: read_folds(smk.input[name]) for name in ("tiles", "genes", "faithfulness", "stability")},
            predictions=read_folds(smk.input.predictions),
            classes=list(smk.params.classes),
            settings=Explain.model_validate(smk.params.settings),
            gene_sets=smk.input.get("gene_sets"),
            evaluation=Evaluation.model_validate(smk.params.evaluation),
            seed=smk.params.seed,
            truth=truth,
        )
        for name, table in tables.items():
            write_table(smk.output[name], table)


if __name__ == "__main__":
    main(snakemake)
