"""Pseudonyms in what is shared: the key, the names, and where they are put."""
