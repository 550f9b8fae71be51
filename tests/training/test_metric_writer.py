"""Metrics and pictures of a run, as lines of JSON and TensorBoard events; lines of a killed run are written again."""

import contextlib
import errno
import io
import threading

import numpy as np
import pytest
import tensorboardX
from helpers import make_config, read_metrics
from PIL import Image
from tensorboardX.proto import event_pb2

from buresgan_jax import builders
from buresgan_jax.evaluation import pictures
from buresgan_jax.runtime.signals import StopSignals
from buresgan_jax.training.metric_writer import MetricWriter
from buresgan_jax.training.opening import open_run


def events(workdir):
    return b"".join(path.read_bytes() for path in (workdir / "tensorboard").iterdir())


def test_a_restart_drops_the_lines_of_later_steps(tmp_path):
    with contextlib.closing(MetricWriter(tmp_path, start_step=0)) as writer:
        for step in (1, 2, 3):
            writer.write(step, "train", {"loss": step / 2})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "spl')  # the kill came in the middle of a line
    with contextlib.closing(MetricWriter(tmp_path, start_step=2)) as writer:
        writer.write(3, "eval", {"modes": 8})
    assert read_metrics(tmp_path) == [
        {"step": 1, "split": "train", "loss": 0.5},
        {"step": 2, "split": "train", "loss": 1.0},
        {"step": 3, "split": "eval", "modes": 8},
    ]
    assert b"eval/modes" in events(tmp_path)


def test_damaged_lines_are_left_out_with_a_word(tmp_path, caplog):
    good = ['{"step": 1, "split": "train", "loss": NaN}', '{"step": 2, "split": "eval", "modes": 8}']
    bad = ["[1]", "7", '{"loss": 1}', '{"step": "3"}', '{"step": 1e999}', "", "[" * 200_000]
    lines = [good[0].encode(), b"\xff\x00\xfe", *(line.encode() for line in bad), good[1].encode()]
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines))  # a line without its end, too
    with contextlib.closing(MetricWriter(tmp_path, start_step=2)) as writer:
        writer.write(3, "train", {"loss": 0.5})
    text = (tmp_path / "metrics.jsonl").read_text()
    assert text.splitlines() == [*good, '{"step": 3, "split": "train", "loss": 0.5}']
    assert f"metrics.jsonl: 8 of {len(lines)} lines are damaged and left out." in caplog.text


def tensorboard_pictures(workdir):
    """The pictures as TensorBoard reads them: `{(tag, step): array}`. A record is its length, a CRC, bytes, a CRC."""
    found = {}
    for file in sorted((workdir / "tensorboard").iterdir()):
        content, start = file.read_bytes(), 0
        while start < len(content):
            length = int.from_bytes(content[start : start + 8], "little")
            event = event_pb2.Event.FromString(content[start + 12 : start + 12 + length])
            start += length + 16
            for value in event.summary.value:
                if value.HasField("image"):
                    with Image.open(io.BytesIO(value.image.encoded_image_string)) as picture:
                        assert (value.image.height, value.image.width) == picture.size[::-1]
                        found[value.tag, event.step] = np.asarray(picture)
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_tensorboard_gets_the_pictures_at_once(tmp_path, channels):
    file, array = tmp_path / "grid.png", np.random.default_rng(0).integers(0, 256, (70, 40, channels), dtype=np.uint8)
    pictures.save_png(file, array)
    with contextlib.closing(MetricWriter(tmp_path, start_step=0)) as writer:
        writer.write_picture(5, file, "samples")
        (picture,) = tensorboard_pictures(tmp_path).items()  # before the file is closed
    assert picture[0] == ("samples", 5)
    np.testing.assert_array_equal(picture[1], np.broadcast_to(array, (70, 40, 3)))


def test_a_full_disk_is_an_error_of_the_write_that_fails(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    threads = threading.active_count()
    with contextlib.closing(MetricWriter(tmp_path, start_step=0)) as writer:
        assert threading.active_count() == threads  # one that fails would print a traceback, and let others wait
        monkeypatch.setattr(tensorboardX.RecordWriter, "write", fail)
        for step in range(20):
            with pytest.raises(OSError, match="No space left"):
                writer.write(step, "train", {"loss": 1.0})


def test_a_new_run_draws_different_examples_of_its_images(tmp_path):
    config = make_config(data_set="mnist")
    with StopSignals(alone=True) as signals:
        _, recorder = open_run(config, tmp_path, signals, rows=slice(0, config.training.batch_size))
        recorder.close()
    with Image.open(tmp_path / "samples" / "real.png") as picture:
        grid = np.asarray(picture)
    np.testing.assert_array_equal(tensorboard_pictures(tmp_path)["real", 0][..., 0], grid)
    source = builders.source(config)
    known = {example.tobytes() for example in source.fetch(np.arange(source.num_examples))}
    size, enlarged = 28, 3 * 28
    rows, columns = (length // (enlarged + 2) for length in grid.shape)
    cells = grid[2:, 2:].reshape(rows, enlarged + 2, columns, enlarged + 2)[:, :enlarged:3, :, :enlarged:3]
    cells = cells.swapaxes(1, 2).reshape(-1, size * size)[: len(known)]
    assert {cell.tobytes() for cell in cells} == known  # there are fewer than 64
