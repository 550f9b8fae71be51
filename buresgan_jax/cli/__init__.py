"""Flags of the programs, and what they say of wrong ones."""
