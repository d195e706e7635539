"""Families, models and checkpoints as frozen data, and the registry that lists them."""
