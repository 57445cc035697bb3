"""From the tiles of a slide to vectors."""
