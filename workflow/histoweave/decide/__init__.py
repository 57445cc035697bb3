"""What the out-of-fold predictions are good for: calibrated, with sets, abstention, decisions and a learning curve."""
