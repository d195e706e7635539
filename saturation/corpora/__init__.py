"""Corpora of any size, read in pieces, and the tokenizers that go with them. Imports no torch."""
