"""STUB."""

from buresgan_jax.declarations import Option

EVALUATION = (
    Option("every_steps", 1000, "", least=0, is_free=True, smoke=1),
    Option("num_samples", 2500, "", least=1, is_free=True, smoke=16),
    Option("min_hits", 1, "", least=1, is_free=True),
    Option("classifier", None, "", str, is_free=True),
    Option("metrics", "", "", is_free=True),
    Option("extractor", "pixels", "", is_free=True),
    Option("weights", None, "", str, is_free=True),
    Option("resizer", None, "", str, is_free=True),
    Option("split", None, "", str, is_free=True),
    Option("num_real", None, "", int, least=1, is_free=True),
    Option("subset_size", 1000, "", least=2, is_free=True, smoke=8),
    Option("num_splits", 10, "", least=1, is_free=True, smoke=2),
    Option("num_neighbors", 5, "", least=1, is_free=True),
    Option("best_by", None, "", str, is_free=True),
)
