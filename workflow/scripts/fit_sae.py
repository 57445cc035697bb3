"""Rule fit_sae: a dictionary of all images of a cohort, one of several that differ in their seed."""

from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.lease import lease

        # Before torch is imported, which looks for devices once.
        with lease(smk.resources.gpu, per_device=smk.resources.jobs_per_gpu):
            import torch

            torch.set_num_threads(smk.threads)
            from histoweave.cell_config import Sae
            from histoweave.device import resolve_device
            from histoweave.sae.stage import fit_stage

            fit_stage(
                tokens=smk.input.tokens,
                settings=Sae.model_validate(smk.params.settings),
                seed=smk.params.seed + int(smk.wildcards.n),
                device=resolve_device(smk.resources.device),
                folder=Path(smk.output.weights).parent,
            )


if __name__ == "__main__":
    main(snakemake)
