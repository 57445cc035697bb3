"""Rule extract_features: feature vectors of the tiles of the slides of a shard."""

import os
from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.lease import lease

        # Threads of the network that have nothing to do leave their core to those that read tiles.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        # Both before torch is imported, which looks at the environment once.
        with lease(smk.resources.gpu, per_device=smk.resources.jobs_per_gpu):
            import torch

            from histoweave.config import Encoder, Tiles
            from histoweave.feature_shard import extract_shard

            torch.set_num_threads(smk.threads)
            extract_shard(
                smk.params.slides,
                index=Path(smk.output[0]),
                tiles_index=Path(smk.input.tiles),
                encoder=Encoder.model_validate(smk.params.encoder),
                arithmetic=smk.params.arithmetic,
                precision=smk.params.precision,
                tiles=Tiles.model_validate(smk.params.tiles),
                on_error=smk.resources.on_error,
                code=smk.params.code,
                device=smk.resources.device,
                tile_batch=smk.resources.tile_batch,
                read_workers=smk.resources.read_workers,
            )


if __name__ == "__main__":
    main(snakemake)
