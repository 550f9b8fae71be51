"""The benchmark of training steps: its selection, counts and output. No test depends on times."""

import functools
import os
import pathlib
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import is_running, wait_until

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
import jax_steps  # noqa: E402
import step_tables  # noqa: E402
import step_trace  # noqa: E402
import steps  # noqa: E402
import timing  # noqa: E402

SPEED = timing.Speed(100.0, 10.0, 2048, "float32", is_cpu=True)

needs_pinning = pytest.mark.skipif(sys.platform != "linux", reason="processes are pinned on Linux only")


def test_everything_is_timed_where_it_is_asked_for_and_the_usual_where_not():
    everything = steps.rows(steps.parse(["--all"]))
    assert len(everything) == len(set(everything)) == len(steps.DATA) * len(steps.METHODS) * len(steps.BATCH_SIZES)
    usual = steps.rows(steps.parse([]))
    assert set(usual) < set(everything)
    assert {(row.data, row.method) for row in usual} >= {(data, "bures") for data in steps.DATA}
    assert set(step_tables.TARGETS) <= set(usual)


def test_rows_are_selected_by_data_method_batch_size_and_name():
    options = ["--data=cifar,stl10", "--methods=gan,frobenius", "--batch-sizes=16,256", "--rows=frobenius 256"]
    assert steps.rows(steps.parse(options)) == [("cifar", "frobenius", 256), ("stl10", "frobenius", 256)]


@pytest.mark.parametrize(
    "option",
    ["--data=rings", "--methods=wgan", "--peer=jit", "--cores=100000", "--batch-sizes=x", "--cores=", "--vary=penalty"],
)
def test_a_wrong_option_is_told_in_one_line(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        steps.parse([option])
    assert option.split("=")[0] in capsys.readouterr().err.splitlines()[-1]


def test_medians_are_of_calls_in_turn():
    order = []
    calls = {name: functools.partial(order.append, name) for name in "ab"}
    medians = timing.medians_in_turn(calls, rounds=2, budget=60, in_a_row=2)
    assert order == list("aabbaabb")
    assert set(medians) == {"a", "b"}


def test_no_round_begins_after_the_budget_but_there_are_three():
    calls = []
    timing.medians_in_turn({"call": lambda: calls.append(1)}, rounds=9, budget=0)
    assert len(calls) == 3


def test_calls_fill_the_time_of_a_turn_and_the_median_is_that_of_one(monkeypatch):
    ends = []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: 0.02 * len(ends))
    medians = timing.medians_in_turn({"call": lambda: ends.append(1)}, rounds=2, budget=60, fill=0.1)
    assert len(ends) == 2 + 2 * 5  # two tell how many fill it
    assert medians["call"] == pytest.approx(0.02)


def test_calls_are_timed_by_the_chosen_clock(monkeypatch):
    ends = []
    monkeypatch.setattr(timing, "_clock", timing.CLOCKS["wall"])  # given back at the end
    monkeypatch.setattr(timing.time, "process_time", lambda: 3.0 * len(ends))
    timing.use_clock("cpu")
    assert timing.seconds_of(lambda: ends.append(1)) == 3
    assert steps.parse(["--clock=cpu", "--peer=eager"]).peer == []


def test_a_call_elsewhere_takes_turns_with_one_here(tmp_path):
    here, there = (tmp_path / "here").touch, (tmp_path / "there").touch
    with timing.Elsewhere(functools.partial, there) as call:
        medians = timing.medians_in_turn({"here": here, "there": call}, rounds=2, budget=60, fill=1e-3)
        assert min(medians.values()) > 0
        assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "there"]
    assert call._process.exitcode == 0


def test_a_call_elsewhere_is_in_another_process(tmp_path):
    with timing.Elsewhere(functools.partial, os.chdir, tmp_path) as call:
        timing.seconds_of(call)
    assert pathlib.Path.cwd() != tmp_path


def test_what_fails_elsewhere_is_told():
    with pytest.raises(RuntimeError, match="TypeError: .*callable"):
        timing.Elsewhere(functools.partial, 3)
    with timing.Elsewhere(functools.partial, os.chdir, "/no such folder") as call:
        for _ in range(2):  # the process is still there
            with pytest.raises(RuntimeError, match="FileNotFoundError: .*no such folder"):
                timing.seconds_of(call)
    with timing.Elsewhere(functools.partial, os._exit, 3) as call:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="ended with status 3"):
                timing.seconds_of(call)


@pytest.fixture
def waits_for_each_call(monkeypatch):
    """Several CPU devices must not have many calls of a pmap waiting for each other."""
    monkeypatch.setattr(steps, "_TURN_SECONDS", 0.0)


@pytest.fixture
def small_networks(monkeypatch):
    """Configs for tests in place of those that are timed."""
    make_config = jax_steps.make_config

    def small(data, method, batch_size, **options):
        return make_config(data, f"{method},smoke", batch_size, **options)

    monkeypatch.setattr(jax_steps, "make_config", small)


@pytest.mark.usefixtures("waits_for_each_call", "small_networks")
def test_every_measurement_of_a_small_row(tmp_path):
    method = "alternating_bures"  # it has every part
    options = ["--peer=none", "--pipeline", "--seeds=2", "--breakdown", "--rounds=1", f"--trace={tmp_path}"]
    options += ["--vary=training.steps_per_call=1,2", "--vary=bures.method=svd"]
    row = step_tables.Row("ring", method, 8)
    measured = steps.measure(row, steps.parse(options))
    settings = ["training.steps_per_call=1", "training.steps_per_call=2", "bures.method=svd"]
    assert list(measured.settings) == settings
    ((name, whole),) = measured.kernels
    assert name == "(the call, profiled)"
    assert whole > 0
    assert list(tmp_path.rglob("*.xplane.pb"))
    numbers = [measured.ms, measured.gigaflops, measured.gigabytes, *measured.pipeline[1:], *measured.seeds.values()]
    numbers += [*measured.settings.values(), *measured.shares.values()]
    assert np.isfinite(numbers).all()
    assert min(numbers[:-5]) > 0
    assert measured.shares["penalty"] > 0
    assert measured.pipeline[0] == "ring"
    page = "\n".join(step_tables.tables([measured], SPEED))
    assert page.count(f"| ring {method} | 8 |") == 4 + len(settings)


def test_kernels_are_added_up_by_name_and_idle_time_is_what_is_between_them():
    def line(name, *events):
        made = [SimpleNamespace(start_ns=start, duration_ns=ns, name=kernel) for start, ns, kernel in events]
        return SimpleNamespace(name=name, events=made)

    streams = [
        line("Stream #13(Compute)", (0.0, 2e6, "gemm_7"), (5e6, 1e6, "fusion.3"), (7e6, 1e6, "gemm_12")),
        line("Stream #14(MemcpyD2D)", (1e6, 2e6, "copy")),
        line("XLA Modules", (0.0, 9e6, "jit_run")),
    ]
    planes = [("/device:GPU:0", streams), ("/host:CPU", [line("Stream", (0.0, 9e6, "python"))])]
    profile = SimpleNamespace(planes=[SimpleNamespace(name=name, lines=lines) for name, lines in planes])
    found = dict(step_trace.summary(step_trace._events(profile), seconds=0.01, num_steps=2))
    assert found == pytest.approx(
        {"(the call, profiled)": 5.0, "(nothing)": 2.5, "gemm": 1.5, "copy": 1.0, "fusion": 0.5}
    )
    assert list(found)[2:] == ["gemm", "copy", "fusion"]


def test_the_share_of_a_penalty_is_that_of_the_whole_step():
    row = step_tables.Row("ring", "bures", 8)
    measured = step_tables.Measured(row, 1.0, 4.0, {}, None, 0.1, None, {}, {}, 3.0, {}, [])
    assert "| ring bures | 8 | bures | 4 | 3 | 25.0 % |" in step_tables.tables([measured], SPEED)
    assert step_tables.Row("ring", "gan+entropy+bures", 8).penalties == ("entropy", "bures")
    assert not {"gan", "wgan_gp"} & {method for method in steps.METHODS if step_tables.Row("ring", method, 8).penalties}


@pytest.mark.parametrize(("count", "other", "each", "rest"), [(3, 5.0, 2.0, 3.0), (1, 11.0, 2.0, 7.0)])
def test_a_step_is_split_into_those_of_the_discriminator_and_the_rest(count, other, each, rest):
    moves = steps._split(count, {"ours": 9.0, "moves": other})
    assert moves == (count, each, rest)
    row = step_tables.Row("ring", "maem", 8)
    measured = step_tables.Measured(row, 1.0, 9.0, {}, None, 0.1, None, {}, {}, None, {}, [], moves=moves)
    assert f"| ring maem | 8 | 9 | {count} | {each:.3g} | {rest:.3g} |" in step_tables.tables([measured], SPEED)


@pytest.mark.usefixtures("waits_for_each_call", "small_networks")
def test_a_method_is_timed_without_its_entropies_and_with_one_step_of_its_discriminator():
    options = steps.parse(["--peer=none", "--breakdown", "--moves", "--rounds=1", "--methods=maem,gan+entropy"])
    assert [row.method for row in steps.rows(options)][:2] == ["maem"] * 2
    row, made = step_tables.Row("ring", "maem", 8), []
    config = jax_steps.make_config(*row)
    for field, value in steps._variants(row, config, options).values():
        made.append(jax_steps.varied(config, field, value))
    assert (made[0].terms, made[1].algorithm.discriminator_steps) == (("dlle", "disomap"), 1)
    measured = steps.measure(step_tables.Row("ring", "gan+entropy", 8), options)
    assert measured.ms_without_penalty > 0
    assert measured.moves[0] == 1


def test_the_floor_is_the_larger_of_arithmetic_and_memory():
    row = step_tables.Row("cifar", "bures", 64)
    for gigaflops, gigabytes, last in (
        (2.0, 0.1, "| 2 | 20 | 0.1 | 10 | 2 |"),
        (1.0, 0.2, "| 1 | 10 | 0.2 | 20 | 2 |"),
    ):
        measured = step_tables.Measured(row, 1.0, 40.0, {}, gigaflops, gigabytes, None, {}, {}, None, {}, [])
        (line,) = [line for line in step_tables.tables([measured], SPEED) if "cifar" in line]
        assert line.endswith(last)
        assert "| 215 |" in line  # a target of CPUs
        on_gpu = step_tables.tables([measured], SPEED._replace(is_cpu=False))
        assert "| 215 |" not in "\n".join(on_gpu)


def test_a_row_is_compiled_in_one_process_and_loaded_in_another():
    ring = ["--data=ring", "--methods=gan", "--batch-sizes=8", "--peer=none", "--rounds=1", "--budget=0"]
    # With the several CPU devices of the other tests it would go without the cache.
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment["JAX_LOG_COMPILES"] = "1"
    command = [sys.executable, str(ROOT / "benchmarks" / "steps.py"), *ring]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "| ring gan | 8 |" in done.stdout
    assert done.stderr.count("Persistent compilation cache hit") >= 2  # the initial state and the step, once each


def test_a_row_that_fails_is_told_and_the_others_go_on(monkeypatch, capsys):
    def fail_for_gan(row, *_):
        if row.method == "gan":
            raise MemoryError("too large")
        return step_tables.Measured(row, 1.0, 4.0, {}, None, 0.1, None, {}, {}, None, {}, [])

    monkeypatch.setattr(steps, "_measure_compiled", fail_for_gan)
    monkeypatch.setattr(steps, "_in_process", lambda *_: (["- Device: none"], SPEED))
    monkeypatch.setattr(sys, "argv", ["steps.py", "--data=ring", "--methods=gan,bures", "--batch-sizes=8"])
    with pytest.raises(SystemExit, match="1"):
        steps.main()
    output = capsys.readouterr()
    assert "ring gan 8: failed: MemoryError: too large" in output.err
    assert "| ring bures | 8 |" in output.out


def _make_sleeper(*_):
    return functools.partial(time.sleep, 1e-3)


@pytest.mark.usefixtures("waits_for_each_call", "small_networks")
@pytest.mark.parametrize(("maker", "problem"), [(_make_sleeper, None), (functools.partial, "TypeError: the first")])
def test_a_peer_takes_turns_and_one_that_fails_is_told(maker, problem, monkeypatch, capsys):
    monkeypatch.setattr(steps, "_make_peer", maker)
    options = steps.parse(["--peer=eager", "--rounds=1"])
    measured = steps.measure(step_tables.Row("ring", "gan", 8), options)
    assert measured.ms > 0
    if problem:
        assert measured.peers == {}
        assert f"ring gan 8: torch eager failed: {problem}" in capsys.readouterr().err
    else:
        assert measured.peers["eager"] > 0


@pytest.mark.usefixtures("waits_for_each_call", "small_networks")
def test_a_method_without_a_peer_has_its_time_alone():
    row = step_tables.Row("ring", "hinge", 8)
    measured = steps.measure(row, steps.parse(["--breakdown", "--rounds=1"]))
    assert measured.ms > 0
    assert (measured.peers, measured.gigaflops, measured.shares) == ({}, None, {})
    assert measured.ms_without_penalty is None
    (line,) = [line for line in step_tables.tables([measured], SPEED) if "hinge" in line]
    assert line.split("|")[4:5] + line.split("|")[6:13] == [" - "] * 8


def test_a_missing_data_set_is_replaced_by_pixels_of_its_size(tmp_path):
    for name, examples, shape in (("stacked_mnist", 128_000, (28, 28, 3)), ("stl10", 100_000, (96, 96, 3))):
        source = jax_steps.make_source(jax_steps.make_config(name, "gan", 8, data_dir=str(tmp_path)))
        assert source.num_examples == examples
        images = source.fetch(np.array([0, 1, examples - 1]))
        assert images.dtype == np.uint8
        assert images.shape == (3, *shape)
        assert images.std() > 60


def test_arithmetic_is_that_of_the_layers():
    batch, generator, discriminator = 64, [256 * 128, 128 * 128, 128 * 2], [2 * 128, 128 * 128, 128 * 1]
    # Forward, gradient by the weights, gradient by the inputs of all layers but the first.
    by_params = [2 * sum(layers) + sum(layers[1:]) for layers in (generator, discriminator)]
    # The fakes' forward pass serves the generator's gradient too, which goes through all layers.
    products = by_params[0] + 2 * by_params[1] + sum(discriminator)
    counted = jax_steps.Parts(jax_steps.make_config("ring", "gan", batch)).gigaflops()
    assert counted * 1e9 == pytest.approx(2 * batch * products, rel=0.05)


@needs_pinning
def test_a_busy_loop_ends_with_a_process_that_is_killed():
    code = "import os, signal, timing\nwith timing.busy([min(os.sched_getaffinity(0))]) as (loop,):\n"
    code += "    print(loop.pid, flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "benchmarks")
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: not is_running(int(done.stdout)))


@needs_pinning
def test_busy_cores_are_busy_only_inside():
    available = timing.pin(None)
    with timing.busy(available[:1]) as (loop,):
        assert loop.poll() is None
        assert os.sched_getaffinity(loop.pid) == set(available[:1])
    assert loop.poll() is not None
    assert timing.pin(None) == available  # this process is free to go where it was
