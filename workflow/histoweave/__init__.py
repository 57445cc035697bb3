"""histoweave: honest, cross-validated subtype classification from whole-slide images and bulk RNA."""

__version__ = "0.1.0"
