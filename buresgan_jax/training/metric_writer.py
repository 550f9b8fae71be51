"""Metrics of a run as `metrics.jsonl` and TensorBoard events."""

import io
import json
from collections.abc import Mapping

import numpy as np
import tensorboardX
from etils import epath
from PIL import Image

from buresgan_jax.training.workdir import replace_text


class MetricWriter:
    """Writes `metrics.jsonl`, one JSON object a line, and TensorBoard events."""

    def __init__(self, workdir: epath.Path, *, start_step: int):
        """Opens both, and drops the lines of later steps, which a killed run had written and will write again.

        Args:
            workdir: The run's directory.
            start_step: The step at which training begins.
        """
        self._file = workdir / "metrics.jsonl"
        lines = [line for line in self._read_lines() if line["step"] <= start_step]
        replace_text(self._file, "".join(json.dumps(line) + "\n" for line in lines))
        # A run that begins at step 0 draws the picture of that step again.
        purge_step = start_step + 1 if start_step else 0
        self._events = tensorboardX.SummaryWriter(str(workdir / "tensorboard"), purge_step=purge_step)

    def _read_lines(self):
        if not self._file.exists():
            return
        for line in self._file.read_text().splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:  # the kill came in the middle of a line
                return

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Adds one line and its TensorBoard scalars; `split` is `train` or `eval`."""
        with self._file.open("a") as file:
            file.write(json.dumps({"step": step, "split": split, **values}) + "\n")
        for name, value in values.items():
            self._events.add_scalar(f"{split}/{name}", value, step)

    def write_picture(self, step: int, file: epath.Path) -> None:
        """Adds a picture from a PNG file to the TensorBoard events."""
        with Image.open(io.BytesIO(file.read_bytes())) as picture:
            image = np.asarray(picture.convert("RGB"))
        self._events.add_image("samples", image, step, dataformats="HWC")

    def close(self) -> None:
        """Flushes the events."""
        self._events.close()
