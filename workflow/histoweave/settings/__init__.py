"""The configuration: a file for each of its sections, and `config` for the whole."""
