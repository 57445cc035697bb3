"""Fusion of slides and RNA: models that are fitted, scored and saved once per fold."""
