"""Why a model predicts as it does."""
