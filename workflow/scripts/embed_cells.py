"""Rule embed_cells: the tokens of a shard's cells."""

import os

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.lease import lease

        # Threads of the network that have nothing to do leave their core to those that read pictures.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        with lease(smk.resources.gpu, per_device=smk.resources.jobs_per_gpu):
            import torch

            torch.set_num_threads(smk.threads)
            embed(smk)


def embed(smk):
    from histoweave.cell_config import Cells
    from histoweave.cells.cohort import read_cohorts
    from histoweave.cells.seen import look_at, note
    from histoweave.cells.shard import adopt_embeddings, embed_shard
    from histoweave.config import parse_config

    # The cells of a shard are too many for a parameter: they are read from the table, as they were to plan the job.
    config = parse_config(smk.config)
    cohort = read_cohorts(config, check_paths=False)[smk.wildcards.cohort]
    rows = cohort.rows.loc[cohort.shards(config.mechanics.cells_per_shard)[smk.wildcards.shard]]
    looks = look_at([] if cohort.simulated else cohort.files(rows.index))
    if cohort.input.embeddings:
        adopt_embeddings(rows["path"].to_dict(), out_h5=smk.output[0], on_error=smk.resources.on_error)
    else:
        embed_shard(
            rows.reset_index(drop=True),
            out_h5=smk.output[0],
            settings=Cells.model_validate(smk.params.settings),
            crop=smk.params.crop,
            on_error=smk.resources.on_error,
            device=smk.resources.device,
            batch=smk.resources.tile_batch,
            read_workers=smk.resources.read_workers,
        )
    note(smk.output[0], looks)


if __name__ == "__main__":
    main(snakemake)
