"""What people read: the report, the page of an external cohort, the concepts; and the provenance."""
