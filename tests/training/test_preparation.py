"""What is made of the data before the first step: computed once, checked, kept until a checkpoint holds it."""

import jax
import numpy as np
import pytest
from helpers import assert_same, make_config

from buresgan_jax import distances
from buresgan_jax.errors import UserError
from buresgan_jax.runtime import signals
from buresgan_jax.training import loop, opening, preparation
from buresgan_jax.training.preparation import prepared_arrays

LIKE = {"latent": {"centers": jax.ShapeDtypeStruct((3, 2), np.float32)}, "z": jax.ShapeDtypeStruct((4,), np.int32)}
ARRAYS = {"latent": {"centers": np.arange(6.0).reshape(3, 2)}, "z": np.arange(4)}


def prepare(tmp_path, computed=ARRAYS, facts=0, calls=None):
    def compute():
        if calls is not None:
            calls.append(facts)
        return computed

    return prepared_arrays(LIKE, compute, tmp_path / "prepared.npz", facts, is_writer=True)


def test_arrays_are_computed_once_for_equal_facts_with_the_declared_dtypes(tmp_path):
    calls = []
    first, again = (prepare(tmp_path, calls=calls) for _ in range(2))
    assert calls == [0]
    for found in (first, again):
        np.testing.assert_array_equal(found["latent"]["centers"], ARRAYS["latent"]["centers"])
        assert (found["latent"]["centers"].dtype, found["z"].dtype) == (np.float32, np.int32)
    prepare(tmp_path, facts=1, calls=calls)
    assert calls == [0, 1]


def test_a_damaged_file_is_computed_again(tmp_path, caplog):
    calls = []
    prepare(tmp_path, calls=calls)
    file = tmp_path / "prepared.npz"
    file.write_bytes(file.read_bytes()[:100])
    prepare(tmp_path, calls=calls)
    assert calls == [0, 0]
    assert "it is computed again" in caplog.text


@pytest.mark.parametrize(
    ("computed", "message"),
    [
        (ARRAYS | {"z": np.arange(5)}, r"\['z'\] of shape \(5,\), prepared_like says \(4,\)"),
        ({"latent": ARRAYS["latent"]}, "another structure than its prepared_like"),
        (ARRAYS | {"latent": {"centers": np.full((3, 2), np.nan)}}, "values that are not finite"),
    ],
)
def test_what_was_not_declared_is_refused(tmp_path, computed, message):
    with pytest.raises(UserError, match=message):
        prepare(tmp_path, computed)
    assert not (tmp_path / "prepared.npz").exists()


def test_nothing_to_prepare_computes_and_writes_nothing(tmp_path):
    assert prepared_arrays({}, None, tmp_path / "prepared.npz", 0, is_writer=True) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_fitted_latent_is_the_same_on_one_and_four_devices_and_after_a_resume(tmp_path, monkeypatch):
    config = make_config("bourgan", data__num_examples=64, training__num_steps=2)

    def opened(folder):
        with signals.StopSignals(alone=True) as stops:
            rows = slice(0, config.training.batch_size)
            run, recorder = opening.open_run(config, tmp_path / folder, stops, rows=rows)
        recorder.close()
        return run.start, jax.device_get(run.state.latent)

    assert jax.device_count() == 4
    four = loop.train_and_evaluate(config, tmp_path / "four").latent
    assert four["centers"].shape == (32, 4)
    (tmp_path / "four" / preparation.FILE).unlink(missing_ok=True)
    with monkeypatch.context() as patch:
        patch.setattr(distances, "bourgain_embedding", None)  # nothing is fitted again
        start, resumed = opened("four")
    assert start == 2
    assert_same(resumed, four)
    first = jax.local_devices()[:1]
    for name, value in (("device_count", 1), ("local_device_count", 1), ("local_devices", first)):
        monkeypatch.setattr(jax, name, lambda value=value: value)
    start, one = opened("one")
    assert start == 0
    assert_same(one, four)
