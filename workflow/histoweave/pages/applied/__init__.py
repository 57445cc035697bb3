"""The page of an external cohort, to which frozen models were applied."""
