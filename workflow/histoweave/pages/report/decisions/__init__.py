"""What the predictions are good for."""
