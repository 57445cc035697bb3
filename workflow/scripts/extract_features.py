"""Rule extract_features: feature vectors of one slide's tiles."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        import torch

        from histoweave.config import Encoder
        from histoweave.features import extract

        torch.set_num_threads(smk.threads)
        status = extract(
            slide=smk.wildcards.slide,
            path=smk.input.slide,
            tiles_h5=smk.input.tiles,
            out_h5=smk.output[0],
            encoder=Encoder.model_validate(smk.params.encoder),
            precision=smk.params.precision,
            max_failed_share=smk.params.max_failed_share,
            on_error=smk.params.on_error,
            device=smk.resources.device,
            tile_batch=smk.resources.tile_batch,
            read_workers=smk.resources.read_workers,
        )
        print(f"{smk.wildcards.slide}: {status}")


if __name__ == "__main__":
    main(snakemake)
