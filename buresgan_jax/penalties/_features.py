"""Options and helpers for terms that compare the features of a fake and a real batch."""

from typing import Any

import jax

from buresgan_jax.declarations import Option

SCALE = Option("scale", "sum", "second moments as sums over the batch or as means", choices=("sum", "mean"))
MAX_SAMPLES = Option(
    "max_samples", None, "number of random rows of the global batch to compare; None: all", int, least=1
)


def feature_rows(step: Any, key: jax.Array, max_samples: int | None) -> tuple[jax.Array, jax.Array]:
    """Returns the features of the global batch, or random rows of them.

    Args:
        step: The step, as terms get it.
        key: The key that draws the rows.
        max_samples: The largest number of rows of each batch. Default: all.

    Returns:
        Features of the fake and of the real batch, `[n, dim]` each.
    """
    fake, real = step.outputs.fake_features, step.outputs.real_features
    if max_samples is not None and max_samples < len(fake):
        fake_key, real_key = jax.random.split(key)
        fake = fake[jax.random.permutation(fake_key, len(fake))[:max_samples]]
        real = real[jax.random.permutation(real_key, len(real))[:max_samples]]
    return fake, real


def check_rows(values: Any, name: str) -> None:
    """Raises ValueError if a config gives a term between features fewer than 2 rows."""
    rows = values["training.batch_size"] // values["discriminator.pack"]
    if min(rows, values[f"{name}.max_samples"] or rows) < 2:
        raise ValueError(
            f"The term {name!r} compares how features vary, which one row cannot tell. Set "
            f"config.training.batch_size to at least 2 packs, and config.{name}.max_samples to at least 2."
        )
