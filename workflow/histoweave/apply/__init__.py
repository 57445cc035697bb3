"""A frozen bundle of fitted models, and its application to cohorts of another place. Nothing is fitted on those."""
