"""Pictures of single cells: reading them, and turning them into tokens."""
