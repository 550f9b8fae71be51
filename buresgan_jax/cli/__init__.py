"""Flags of the programs, and error messages for wrong ones."""
