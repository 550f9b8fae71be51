"""Metrics of a run as `metrics.jsonl` and TensorBoard events."""

import io
import json
from collections.abc import Mapping

import numpy as np
from absl import logging
from etils import epath
from PIL import Image

from buresgan_jax.runtime.files import replace_text
from buresgan_jax.training.event_file import EventFile
from buresgan_jax.training.workdir import METRICS


class MetricWriter:
    """Writes `metrics.jsonl`, one JSON object a line, and TensorBoard events."""

    def __init__(self, workdir: epath.Path, *, start_step: int):
        """Opens both, and drops the lines of later steps, which a killed run had written and will write again.

        Args:
            workdir: The run's directory.
            start_step: The step at which training begins.
        """
        self._file = workdir / METRICS
        lines = [line for step, line in self._read_lines() if step <= start_step]
        replace_text(self._file, "".join(line + "\n" for line in lines))
        # A run that begins at step 0 draws the picture of that step again.
        purge_step = start_step + 1 if start_step else 0
        self._events = EventFile(workdir / "tensorboard", purge_step=purge_step)

    def _read_lines(self):
        """Returns `(step, line)` of the lines that are whole."""
        texts = self._file.read_bytes().splitlines() if self._file.exists() else []
        lines = [(step, text.decode()) for text in texts if (step := _step_of(text)) is not None]
        if damaged := len(texts) - len(lines):  # one if a kill came in the middle of it
            logging.warning("%s: %d of %d lines are damaged and left out.", self._file, damaged, len(texts))
        return lines

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Adds one line and its TensorBoard scalars; `split` is `train` or `eval`."""
        with self._file.open("a") as file:
            file.write(json.dumps({"step": step, "split": split, **values}) + "\n")
        for name, value in values.items():
            self._events.add_scalar(f"{split}/{name}", value, step)

    def write_picture(self, step: int, file: epath.Path, name: str) -> None:
        """Adds a picture from a PNG file to the TensorBoard events, which show it at once."""
        with Image.open(io.BytesIO(file.read_bytes())) as picture:
            image = np.asarray(picture.convert("RGB"))
        self._events.add_image(name, image, step)
        self._events.flush()

    def close(self) -> None:
        """Flushes the events."""
        self._events.close()


def _step_of(text):
    """Returns the step of a line; None for a damaged line."""
    try:
        step = json.loads(text.decode())["step"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return step if isinstance(step, int) else None
