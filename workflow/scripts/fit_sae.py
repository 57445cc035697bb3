"""Rule fit_sae: a dictionary of all images of a cohort, one of several that differ in their seed."""

from pathlib import Path

from histoweave.mechanics.gpu_job import gpu_job


def main(smk):
    with gpu_job(smk):
        from histoweave.mechanics.device import resolve_device
        from histoweave.sae.fit_sae import fit_stage
        from histoweave.settings.sae import Sae

        fit_stage(
            tokens=smk.input.tokens,
            settings=Sae.handed_over(smk.params.settings),
            seed=smk.params.seed + int(smk.wildcards.n),
            device=resolve_device(smk.resources.device),
            folder=Path(smk.output.weights).parent,
        )


if __name__ == "__main__":
    main(snakemake)
