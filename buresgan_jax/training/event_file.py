"""TensorBoard events, written by the thread that makes them: a full disk is an error of that call.

tensorboardX's own writer has a thread with a queue. When a write fails, the thread ends with a traceback, and the next
events wait for it forever.
"""

import socket
import time

import numpy as np
from etils import epath
from tensorboardX import RecordWriter, summary
from tensorboardX.proto import event_pb2

_FLUSH_SECONDS = 30.0


class EventFile:
    """A new file of events in a folder, local or remote."""

    def __init__(self, folder: epath.Path, *, purge_step: int):
        """Creates the file.

        Args:
            folder: The folder, which is created.
            purge_step: TensorBoard hides the events of older files from this step on.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._file = RecordWriter(str(folder / f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}"))
        self._flush_time = 0.0
        self._add(0, file_version="brain.Event:2")
        self._add(purge_step, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Adds a number."""
        self._add(step, summary=summary.scalar(name, value))

    def add_image(self, name: str, image: np.ndarray, step: int) -> None:
        """Adds a picture, uint8 `[height, width, 3]`."""
        self._add(step, summary=summary.image(name, image, dataformats="HWC"))

    def _add(self, step, **content):
        event = event_pb2.Event(wall_time=time.time(), step=step, **content)
        self._file.write(event.SerializeToString())
        if time.monotonic() > self._flush_time:
            self.flush()

    def flush(self) -> None:
        """Writes what is buffered."""
        self._flush_time = time.monotonic() + _FLUSH_SECONDS
        self._file.flush()

    def close(self) -> None:
        """Writes what is buffered, and closes the file."""
        self._file.close()
