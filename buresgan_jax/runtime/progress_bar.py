"""A progress bar for work on the host that may take minutes."""

from collections.abc import Iterable
from typing import Any

import tqdm


def track(items: Iterable | None = None, *, description: str, **options: Any) -> tqdm.tqdm:
    """Shows the progress of a loop; hidden for short jobs and non-interactive output.

    Args:
        items: Items of the loop. None: the caller reports progress with `update` of the result.
        description: Name of the work, shown before the bar.
        **options: Other options of `tqdm.tqdm`, such as `total` and `unit`.

    Returns:
        An iterable of the items.
    """
    return tqdm.tqdm(items, desc=description, **({"delay": 2, "leave": False, "disable": None} | options))
