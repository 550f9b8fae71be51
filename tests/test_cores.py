import os

import pytest

from buresgan_jax import cores


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000", [3, 5, 7]), ("200000 100000", [3, 5]), ("50000 100000", [3]), ("1000000 100000", [3, 5, 7])],
)
def test_a_containers_quota_limits_the_cores(tmp_path, monkeypatch, text, expected):
    (tmp_path / "cpu.max").write_text(text + "\n")
    monkeypatch.setattr(cores, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {7, 3, 5})
    assert cores.available_cores() == expected


def test_systems_without_pinning_have_nameless_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "_QUOTA", tmp_path / "none")
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert cores.available_cores() == [None, None]
