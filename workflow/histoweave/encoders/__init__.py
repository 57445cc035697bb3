"""Networks that turn tiles into vectors: `registry` (metadata, without torch) and `loading` (weights)."""
