"""The sections of the report, its parts, and what its figures show in words."""

from __future__ import annotations

SECTIONS = {
    "conclusion": "Conclusion",
    "summary": "Other findings",
    "circularity": "Are the labels circular?",
    "cohort-flow": "Cohort flow",
    "refused-slides": "Excluded slides",
    "contours": "Tissue contours",
    "rna": "RNA data",
    "folds": "Cross-validation folds",
    "metrics": "Performance metrics",
    "strata": "Performance by class and site",
    "comparisons": "Paired comparisons of models",
    "operating": "Sensitivity and specificity",
    "roc": "ROC curves",
    "pr-curves": "Precision–recall curves",
    "reliability": "Reliability diagrams",
    "confusion": "Confusion matrices",
    "confounding": "Site and other confounders",
    "modality-use": "Reliance on each modality",
    "truth": "Comparison with the simulated truth",
    "control": "Negative control",
    "explanation": "Is the explanation faithful?",
    "drivers": "Contributions to each class",
    "morphology": "Morphology of each class",
    "explained-patients": "Why this prediction",
    "calibration": "Calibration",
    "conformal": "Prediction sets with stated coverage",
    "selective": "Predicting only when confident",
    "decision-curve": "Decision curves (net benefit)",
    "subgroups": "Performance by site and subgroup",
    "learning": "Learning curve",
    "training": "Training curves",
    "patients": "Predictions by patient",
    "throughput": "Run time and memory",
    "elsewhere": "Other pages",
    "provenance": "Provenance",
}


# The first section of each part of the table of contents.
PARTS = {
    "conclusion": "Overview",
    "cohort-flow": "Data",
    "metrics": "Results",
    "confounding": "Checks",
    "explanation": "Explanations",
    "calibration": "Decisions",
    "training": "Run details",
}


ALT = {
    "cohort_flow": "Bars: patients, slides and samples kept and excluded at each step",
    "folds": "Grid of patient counts per class and site in the train, validation and test part of every fold",
    "metrics": "Forest plot of AUROC and average precision with intervals for every model",
    "roc_curves": "ROC curve (sensitivity against 1 − specificity) of every model, with the diagonal of a model without skill",
    "pr_curves": "Precision against recall for every model, with the level of a model without skill",
    "reliability": "Accuracy against confidence for every model, with the expected calibration error",
    "confusion": "Confusion matrix of every model",
    "confounding": "AUROC of every model over all patients, among patients with the same value of the column, and with whole sites left out",
    "modality_use": "AUROC of every model with all modalities from the patient, and with one modality from another patient",
    "control": "AUROC of every model with shuffled labels (each shuffle and the mean) and with the true labels",
    "training": "Training and validation loss per epoch and fold for every trained model",
    "throughput": "Seconds per job for every stage of the run",
}
