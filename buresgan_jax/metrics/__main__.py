"""`python -m buresgan_jax.metrics`: computes metrics of two sets of images, see `evaluation/compare_sets.py`."""

import sys

from buresgan_jax.evaluation.compare_sets import main

if __name__ == "__main__":
    sys.exit(main())
