"""Rule simulate_slides: the slides of a shard of a simulated cohort, and where their planted regions are."""

from pathlib import Path

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.simulate.simulate_slides import simulate_shard

        simulate_shard(smk.params.slides, index=Path(smk.output[0]), code=smk.params.code)


if __name__ == "__main__":
    main(snakemake)
