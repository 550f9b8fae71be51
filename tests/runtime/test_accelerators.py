"""Detection of JAX's platform, and the division of GPUs among runs."""

import subprocess

import pytest

from buresgan_jax.errors import UserError
from buresgan_jax.launch import processes
from buresgan_jax.runtime import accelerators
from buresgan_jax.runtime.cores import available_cores


@pytest.mark.parametrize(("platforms", "is_cpu_only"), [("cpu", True), ("cuda,cpu", False), ("tpu", False)])
def test_the_platforms_of_jax_decide(platforms, is_cpu_only):
    assert accelerators.is_cpu_only(platforms) == is_cpu_only


@pytest.mark.parametrize("found", ["jax_plugins", "libtpu", "entry point", "PJRT_NAMES_AND_LIBRARY_PATHS", None])
def test_without_platforms_all_ways_to_an_accelerator_count(found, monkeypatch):
    monkeypatch.setattr(accelerators.importlib.util, "find_spec", lambda name: name if name == found else None)
    entry_points = lambda group: ["xla_cuda12"] if (group, found) == ("jax_plugins", "entry point") else []  # noqa: E731
    monkeypatch.setattr(accelerators.importlib.metadata, "entry_points", entry_points)
    monkeypatch.delenv("PJRT_NAMES_AND_LIBRARY_PATHS", raising=False)
    if found == "PJRT_NAMES_AND_LIBRARY_PATHS":
        monkeypatch.setenv(found, "mine:library.so")
    assert accelerators.is_cpu_only(None) == (found is None)


def test_a_process_that_might_use_more_than_cpus_is_asked(monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    assert accelerators.of_children() == ("cpu", 1)  # JAX_PLATFORMS says so
    monkeypatch.undo()
    monkeypatch.setattr(accelerators, "is_cpu_only", lambda platforms: False)
    assert accelerators.of_children() == ("cpu", 4)
    monkeypatch.setenv("JAX_PLATFORMS", "nonsense")
    with pytest.raises(UserError, match="JAX does not start: .*nonsense"):
        accelerators.of_children()


def environments(num_places, num_gpus, **user):
    options = {"num_places": num_places, "num_gpus": num_gpus, "user": user}
    added = [accelerators.environment_of_run(place, **options) for place in range(num_places)]
    return [(each.get("CUDA_VISIBLE_DEVICES"), each.get("XLA_PYTHON_CLIENT_MEM_FRACTION")) for each in added]


@pytest.mark.parametrize(
    ("num_places", "num_gpus", "gpus", "share"),
    [(2, 2, "01", "0.900"), (2, 4, "01", "0.900"), (3, 1, "000", "0.300"), (5, 2, "01010", "0.300")],
)
def test_runs_take_gpus_in_turn_and_share_their_memory(num_places, num_gpus, gpus, share):
    assert environments(num_places, num_gpus) == [(gpu, share) for gpu in gpus]


def test_a_run_alone_has_all_gpus_as_by_itself():
    assert environments(1, 4) == [(None, None)]


def test_the_users_gpus_and_share_of_memory_stay():
    assert environments(3, 2, CUDA_VISIBLE_DEVICES="5, GPU-ab") == [(gpu, "0.450") for gpu in ("5", "GPU-ab", "5")]
    for name in ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"):
        assert environments(2, 1, **{name: "0.1"}) == [("0", None)] * 2


@pytest.mark.parametrize(
    ("platform", "jobs", "gpus"), [("gpu", None, ["0", "1"]), ("gpu", 3, ["0", "1", "0"]), ("tpu", None, [None])]
)
def test_runs_on_accelerators_are_not_pinned_to_cores(platform, jobs, gpus, monkeypatch):
    monkeypatch.setattr(accelerators, "of_children", lambda: (platform, 2))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    places = processes._places(jobs)
    assert [(place.core, place.environment.get("CUDA_VISIBLE_DEVICES")) for place in places] == [
        (None, gpu) for gpu in gpus
    ]


@pytest.mark.parametrize("jobs", [None, 1, 5])
def test_runs_on_cpus_are_pinned_to_cores_in_turn(jobs):
    cores, places = available_cores(), processes._places(jobs)
    assert [place.core for place in places] == [cores[i % len(cores)] for i in range(jobs or len(cores))]
    assert not any(place.environment for place in places)
