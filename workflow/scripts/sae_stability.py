"""Rule sae_stability: dictionaries of several seeds, matched."""

from pathlib import Path

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        import torch

        from histoweave.concepts.sae_stability import stability_stage

        torch.set_num_threads(smk.threads)
        stability_stage(
            [Path(path).parent for path in smk.input.weights], seed=smk.params.seed, out=dict(smk.output.items())
        )


if __name__ == "__main__":
    main(snakemake)
