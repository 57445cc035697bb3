"""Rule encode_concepts: a cohort as a dictionary sees it."""

from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.lease import lease

        # Before torch is imported, which looks for devices once.
        with lease(smk.resources.gpu, per_device=smk.resources.jobs_per_gpu):
            import torch

            torch.set_num_threads(smk.threads)
            from histoweave.concepts.encode import encode_stage
            from histoweave.device import resolve_device

            encode_stage(
                sae=Path(smk.input.sae[0]).parent,
                tokens=smk.input.tokens,
                fitted_on=smk.input.get("fitted_on", []),
                token_threshold=smk.params.token_threshold,
                device=resolve_device(smk.resources.device),
                out=smk.output[0],
            )


if __name__ == "__main__":
    main(snakemake)
