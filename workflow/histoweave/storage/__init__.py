"""How files are read and written: whole or not at all, those of users with care."""
