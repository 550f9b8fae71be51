"""Helpers for several tests: the command line in this process or another one, waiting, XLA's flags for tests."""

import contextlib
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from absl import flags
from absl.testing import flagsaver
from ml_collections import config_dict

ROOT = pathlib.Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


def xla_flags(num_devices: int) -> str:
    """So many CPU devices; nothing is optimized; fusions are compiled without MLIR, which takes half of the time."""
    words = f"--xla_force_host_platform_device_count={num_devices} --xla_backend_optimization_level=0"
    if jax.__version_info__[:2] == (0, 10):  # a flag that an XLA does not know ends the process
        words += " --xla_cpu_use_fusion_emitters=false"
    return words


class Result(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


def call(monkeypatch, argv: list[str], program: Callable | None = None, cwd: pathlib.Path = ROOT) -> int:
    """Status of a program, by default `main`, in this process: saves the seconds that a new one needs to start."""
    from buresgan_jax import main  # not before conftest.py has chosen XLA's flags
    from buresgan_jax.cli import flag_errors

    program, parse = (main.main, main.parse) if program is None else (program, flag_errors.parse_or_exit)
    monkeypatch.setattr(sys, "argv", argv)  # ml_collections looks for overrides there
    monkeypatch.chdir(cwd)
    sys.modules.pop("config_config", None)  # what ml_collections would load the next config file into
    saved = flagsaver.save_flag_values()
    try:
        return program(parse(argv))
    except SystemExit as error:
        return error.code
    finally:
        flagsaver.restore_flag_values(saved)
        flags.FLAGS.unparse_flags()


def run_here(monkeypatch, capfd, *arguments: str) -> Result:
    """The command in this process, with what it prints."""
    capfd.readouterr()
    status = call(monkeypatch, ["main", *map(str, arguments)])
    return Result(status, *capfd.readouterr())


def start(*arguments: str, devices: int = 1, stderr: int = subprocess.PIPE) -> subprocess.Popen:
    """Starts the command in another process with that many CPU devices, compiled as in the tests' own process."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": xla_flags(devices)}
    command = [sys.executable, "-m", "buresgan_jax.main", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True)


def finish(process: subprocess.Popen, timeout: float = 120) -> Result:
    """Waits for a started command; kills it where it hangs."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"still running after {timeout} s:\n{out}\n{err}") from None
    return Result(process.returncode, out, err or "")


def is_running(pid: int) -> bool:
    """Whether there is such a process, on Linux; one that has ended and is not waited for does not count."""
    try:
        return "State:\tZ" not in pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Returns when the condition holds; fails when it does not for so long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# Configs, states and images


CONFIGS = {file.stem: file for file in sorted((ROOT / "configs").glob("*.py"))}


def load_config(name: str, argument: str) -> config_dict.ConfigDict:
    """The config of a file of `configs/`, by its name."""
    spec = importlib.util.spec_from_file_location(name, CONFIGS[name])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(argument)


def make_config(method="gan", data_set="ring", **changes) -> config_dict.ConfigDict:
    """Tiny networks on the ring or on random images; changes are `group__key=value`."""
    from buresgan_jax import config as config_lib

    config = config_lib.default(f"{method},smoke")
    config.data.name = data_set
    if data_set != "ring":
        config.data.image_size, config.data.channels = 28, 1
        config.generator.name = config.discriminator.name = "dcgan"
    config = config_lib.finish(config)
    config.training.update({"log_every_steps": 4, "checkpoint_every_steps": 6, "sample_every_steps": 0})
    config.training.update({"num_steps": 12, "steps_per_call": 2})
    config.evaluation.every_steps = 0
    config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


def save_random_run(folder, config, steps: tuple[int, ...]) -> None:
    """A workdir with checkpoints of these steps, which hold random positive numbers: nothing is trained."""
    from buresgan_jax import builders
    from buresgan_jax.training import checkpoint, devices, workdir

    like = devices.state_like(builders.algorithm(config), builders.describe(config).example_shape)
    folder.mkdir(parents=True, exist_ok=True)
    workdir.save_config(config, folder)
    with contextlib.closing(checkpoint.Checkpointer(folder)) as checkpointer:
        for step in steps:
            random = np.random.default_rng(step)
            draw = lambda leaf: np.abs(random.normal(scale=0.05, size=leaf.shape)).astype(leaf.dtype)  # noqa: B023, E731
            checkpointer.save(step, {"state": jax.tree.map(draw, like).replace(step=np.asarray(step, np.int32))})


def read_metrics(workdir):
    """The lines of a run's `metrics.jsonl`."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def assert_same(found, expected, rtol=0.0, atol=0.0):
    """Equal trees of arrays, leaf by leaf."""
    leaves = zip(jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(expected), strict=True)
    for (path, a), b in leaves:
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol, err_msg=name)


def assert_close_parameters(found, expected):
    """To 1e-5 of the largest: Adam makes steps of full length of gradients that are rounding errors."""
    assert int(found.step) == int(expected.step)
    for name in ("generator", "discriminator"):
        params, others = getattr(found, name).params, getattr(expected, name).params
        scale = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(others))
        assert_same(params, others, rtol=1e-5, atol=1e-5 * scale)


def make_images(seed, num=48, size=16, channels=3):
    """Smooth pictures of random colors and slopes, so that few numbers describe them."""
    random = np.random.default_rng(seed)
    color, slope = random.uniform(60, 190, (num, 1, 1, channels)), random.uniform(-60, 60, (num, 1, 1, channels))
    images = color + slope * np.linspace(-1, 1, size)[:, None, None] + random.normal(0, 3, (num, size, size, channels))
    return np.clip(images, 0, 255).astype(np.uint8)
