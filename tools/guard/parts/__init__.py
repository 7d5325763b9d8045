"""What is frozen: a module for each part, see `guard`."""
