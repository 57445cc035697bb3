"""From the tables of a user to patients, slides and folds."""
