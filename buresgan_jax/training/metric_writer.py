"""Metrics of a run as `metrics.jsonl` and TensorBoard events."""

import json
from collections.abc import Mapping
from typing import Any

import tensorboardX
from etils import epath

from buresgan_jax.training.workdir import replace_text


class MetricWriter:
    """`metrics.jsonl` (one JSON object a line) and TensorBoard events."""

    def __init__(self, workdir: epath.Path, *, start_step: int):
        """Opens both; drops lines of steps after `start_step`, which a killed run had written and will write again."""
        self._file = workdir / "metrics.jsonl"
        lines = [line for line in self._read_lines() if line["step"] <= start_step]
        replace_text(self._file, "".join(json.dumps(line) + "\n" for line in lines))
        # The picture of step 0 is drawn again too.
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

    def write_picture(self, step: int, image: Any) -> None:
        """Adds a picture `[height, width, channels]`, uint8, to the TensorBoard events."""
        self._events.add_image("samples", image, step, dataformats="HWC")

    def close(self) -> None:
        """Flushes the events."""
        self._events.close()
