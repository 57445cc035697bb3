"""The sections of the report, its parts, and what its figures show in words."""

from __future__ import annotations

SECTIONS = {
    "conclusion": "Conclusion",
    "summary": "What else was found",
    "circularity": "What the labels can tell",
    "cohort-flow": "Who is in the cohort",
    "refused-slides": "Slides refused",
    "contours": "Tissue contours",
    "rna": "RNA",
    "folds": "Folds",
    "metrics": "Metrics",
    "strata": "By class and by site",
    "comparisons": "Paired comparisons",
    "operating": "Sensitivity and specificity",
    "roc": "ROC curves",
    "pr-curves": "Precision and recall",
    "reliability": "Reliability",
    "confusion": "Confusion matrices",
    "confounding": "Site and other confounders",
    "modality-use": "Use of each modality",
    "truth": "Known truth",
    "control": "Negative control",
    "explanation": "Is the explanation true?",
    "drivers": "What drives each class",
    "morphology": "The morphology of each class",
    "explained-patients": "Why this call",
    "calibration": "Calibration",
    "conformal": "Sets that keep a promise",
    "selective": "Calling only the sure ones",
    "decision-curve": "Net benefit",
    "subgroups": "Sites and subgroups",
    "learning": "More patients",
    "training": "Training",
    "patients": "Patient by patient",
    "throughput": "Throughput",
    "elsewhere": "Other pages",
    "provenance": "Provenance",
}


# The first section of each part of the table of contents.
PARTS = {
    "conclusion": "Overview",
    "cohort-flow": "Data",
    "metrics": "Results",
    "confounding": "Checks",
    "explanation": "Why",
    "calibration": "Decisions",
    "training": "The run",
}


ALT = {
    "cohort_flow": "Bars of how many patients, slides and samples were kept and lost at each step",
    "folds": "Grid of patient counts per class and site in the train, validation and test part of every fold",
    "metrics": "Forest plot of AUROC and average precision with intervals for every model",
    "roc_curves": "Sensitivity against the share of false alarms for every model, with the diagonal of no skill",
    "pr_curves": "Precision against recall for every model, with the no-skill level",
    "reliability": "Accuracy against confidence for every model, with the expected calibration error",
    "confusion": "Confusion matrix of every model",
    "confounding": "AUROC of every model over all patients, between patients of the same level, and with whole sites left out",
    "modality_use": "AUROC of every model with a modality intact and with it permuted between patients",
    "control": "AUROC of every model on every shuffle of the labels, their mean, and on the true labels",
    "training": "Training and validation loss per epoch and fold for every trained model",
    "throughput": "Seconds per job for every stage of the run",
}
