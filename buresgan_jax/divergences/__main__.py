"""`python -m buresgan_jax.divergences`: a table and a picture, see `evaluation/compare_divergences.py`."""

import sys

from buresgan_jax.evaluation.compare_divergences import main

if __name__ == "__main__":
    sys.exit(main())
