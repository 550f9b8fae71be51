import os
import socket

import pytest

from buresgan_jax.runtime import cores


@pytest.mark.parametrize(
    ("text", "number"), [("max 100000", 6), ("250000 100000", 2), ("50000 100000", 1), ("1000000 100000", 6)]
)
def test_a_containers_quota_limits_the_cores(tmp_path, monkeypatch, text, number):
    (tmp_path / "cpu.max").write_text(text + "\n")
    monkeypatch.setattr(cores, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {7, 3, 5, 11, 13, 2})
    found = set()
    for host in ("one", "two", "three", "four"):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        assert len(set(cores.available_cores())) == number
        assert cores.available_cores() == sorted(cores.available_cores())
        found |= set(cores.available_cores())
    assert found <= {2, 3, 5, 7, 11, 13}
    assert len(found) > 1  # not the same ones on every host


def test_systems_without_pinning_have_nameless_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "_QUOTA", tmp_path / "none")
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert cores.available_cores() == [None, None]
