"""What was read, used and computed."""
