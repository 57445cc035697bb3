"""Rule embed_cells: the tokens of a shard's cells."""

from histoweave.mechanics.gpu_job import gpu_job


def main(smk):
    with gpu_job(smk, spins=False):
        embed(smk)


def embed(smk):
    from histoweave.cells.cohort import read_cohorts
    from histoweave.cells.embed_cells import adopt_embeddings, embed_shard
    from histoweave.cells.seen import look_at, note
    from histoweave.settings.cells import Cells
    from histoweave.settings.config import parse_config

    # The cells of a shard are too many for a parameter: they are read from the table, as they were to plan the job.
    config = parse_config(smk.config)
    cohort = read_cohorts(config.cohorts, check_paths=False)[smk.wildcards.cohort]
    rows = cohort.rows.loc[cohort.shards(config.mechanics.cells_per_shard)[smk.wildcards.shard]]
    looks = look_at([] if cohort.simulated else cohort.files(rows.index))
    if cohort.input.embeddings:
        adopt_embeddings(rows["path"].to_dict(), out_h5=smk.output[0], on_error=smk.resources.on_error)
    else:
        embed_shard(
            rows.reset_index(drop=True),
            out_h5=smk.output[0],
            settings=Cells.handed_over(smk.params.settings),
            crop=smk.params.crop,
            on_error=smk.resources.on_error,
            device=smk.resources.device,
            batch=smk.resources.tile_batch,
            read_workers=smk.resources.read_workers,
        )
    note(smk.output[0], looks)


if __name__ == "__main__":
    main(snakemake)
