"""A demo cohort with a known truth: slides, RNA counts, and where the hidden factors are."""
