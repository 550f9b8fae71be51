"""Metrics, pictures and tables of samples."""
