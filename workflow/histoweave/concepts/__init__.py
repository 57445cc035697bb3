"""What the latents of a sparse autoencoder mean: statistics, labels, classification, other laboratories, review."""
