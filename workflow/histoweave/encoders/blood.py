"""DinoBloom: DINOv2 backbones trained on white blood cells (Koch et al., MICCAI 2024, arXiv 2404.05022)."""

from histoweave.encoders.entry import IMAGENET_MEAN, IMAGENET_STD, EncoderEntry

ENTRIES = tuple(
    EncoderEntry(
        name=f"dinobloom_{size[0]}",
        architecture=f"vit_{size}_patch14_dinov2",
        dim=dim,
        input_px=224,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        licence="Apache-2.0",
        gated=False,
        source=f"hf-hub:1aurent/vit_{size}_patch14_224.dinobloom",
        trained_mpp=None,
        note="single blood cells, not tissue; the authors' .pth (Zenodo 10908163) is taken as weights too",
        options={"img_size": 224},
        weights_suffixes=(".safetensors", ".pth"),
    )
    for size, dim in (("small", 384), ("base", 768), ("large", 1024), ("giant", 1536))
)
