"""Bulk RNA: readers, sample selection, gene names, normalisation."""
