"""Sparse autoencoders: fitting, applying, saving, comparing dictionaries."""
