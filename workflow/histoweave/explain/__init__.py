"""Why a model calls a patient as it does, and whether that explanation can be trusted."""
