"""Rule sae_stability: dictionaries of several seeds, matched."""

from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        import torch

        from histoweave.concepts.score_stage import stability_stage

        torch.set_num_threads(smk.threads)
        stability_stage(
            [Path(path).parent for path in smk.input.weights], seed=smk.params.seed, out=dict(smk.output.items())
        )


if __name__ == "__main__":
    main(snakemake)
