"""Tiles and features that other tools made, taken in place of our own, and ours written in their forms."""
