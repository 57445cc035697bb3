"""Rule score_truth: how well tile attention ranks the planted tiles of a simulated cohort."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        import pandas as pd

        from histoweave.simulate.truth import score_attention, truth_files
        from histoweave.storage.files import read_table, write_table

        models = smk.params.models
        folds = len(smk.input.attention) // max(len(models), 1)
        parts = [read_table(path).assign(model=models[i // folds]) for i, path in enumerate(smk.input.attention)]
        scores = score_attention(
            pd.concat(parts, ignore_index=True),
            slides=read_table(smk.input.slides),
            tile_um=smk.params.tile_um,
            truth=pd.concat([read_table(path) for path in truth_files(smk.input.simulated)], ignore_index=True),
            bootstrap=smk.params.bootstrap,
            confidence=smk.params.confidence,
            seed=smk.params.seed,
        )
        write_table(smk.output[0], scores)


if __name__ == "__main__":
    main(snakemake)
