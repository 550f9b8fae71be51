"""Metrics and pictures of a run, as lines of JSON and TensorBoard events; lines of a killed run are written again."""

import contextlib
import errno
import threading

import numpy as np
import pytest
import tensorboardX
from helpers import read_metrics

from buresgan_jax.evaluation import pictures
from buresgan_jax.training.metric_writer import MetricWriter


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


@pytest.mark.parametrize("channels", [1, 3])
def test_tensorboard_shows_the_pictures(tmp_path, channels):
    file = tmp_path / "grid.png"
    pictures.save_png(file, np.random.default_rng(0).integers(0, 256, (70, 40, channels), dtype=np.uint8))
    with contextlib.closing(MetricWriter(tmp_path, start_step=0)) as writer:
        writer.write_picture(5, file)
    found = events(tmp_path)
    assert b"samples" in found
    assert b"\x89PNG" in found
    assert len(found) > 70 * 40 * channels  # random pixels cannot be compressed


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
