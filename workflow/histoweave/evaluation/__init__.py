"""Scores of out-of-fold predictions, with patient-level intervals. Free of torch."""
