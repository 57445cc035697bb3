"""Rule encode_concepts: a cohort as a dictionary sees it."""

from pathlib import Path

from histoweave.mechanics.gpu_job import gpu_job


def main(smk):
    with gpu_job(smk):
        from histoweave.concepts.encode_concepts import encode_stage
        from histoweave.mechanics.device import resolve_device

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
