"""What else may explain a result: site, other columns, chance."""
