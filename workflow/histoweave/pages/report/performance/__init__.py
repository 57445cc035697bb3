"""How well models predict, and what a run comes down to."""
