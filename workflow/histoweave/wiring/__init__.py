"""What the rules ask: paths, parameters, plans, and fingerprints of code. Nothing here runs in a job."""
