"""The page of concepts: what a dictionary found, whether it holds, and a gallery in which an expert reviews it."""
