import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from buresgan_jax import prepare
from buresgan_jax.data import IMAGE_SETS

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_prepared = pytest.mark.skipif(not DATA.exists(), reason="needs the data sets in ../shared/data")
has_tensorflow = importlib.util.find_spec("tensorflow") is not None


def _one_line(capsys, *, stream):
    captured = getattr(capsys.readouterr(), stream)
    assert captured.endswith("\n")
    assert captured.count("\n") == 1
    return captured[:-1]


def test_original_files_are_those_that_tfds_downloads():
    for name in IMAGE_SETS:
        expected = {info.filename for info in tfds.builder_cls(name).url_infos.values()}
        assert set(prepare.ORIGINAL_FILES[name]) == expected


def test_help_names_sets_and_original_files():
    command = [sys.executable, "-m", "buresgan_jax.prepare", "--help"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "cifar-10-binary.tar.gz" in text
    assert all(name in text for name in IMAGE_SETS)


def test_unknown_name_is_one_line_and_status_2(capsys):
    assert prepare.main(["cifar01"]) == 2
    assert _one_line(capsys, stream="err").startswith("Unknown image set 'cifar01'. Did you mean 'cifar10'?")


def test_set_that_must_be_fetched_by_hand(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "_import_tensorflow", lambda: None)
    assert prepare.main(["imagenet2012", f"--data_dir={tmp_path}"]) == 2
    assert _one_line(capsys, stream="err").startswith("'imagenet2012' needs --manual_dir. TFDS says: manual_dir should")
    assert prepare.main(["imagenet2012", f"--data_dir={tmp_path}", f"--manual_dir={tmp_path}/none"]) == 2
    assert _one_line(capsys, stream="err").startswith("Cannot prepare 'imagenet2012' in ")


def test_missing_original_files_are_named(capsys, tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").touch()
    assert prepare.main(["mnist", f"--data_dir={tmp_path / 'data'}", f"--manual_dir={tmp_path}"]) == 2
    message = _one_line(capsys, stream="err")
    assert "lacks train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz." in message


def test_missing_tensorflow_is_one_line_with_the_command(capsys, tmp_path, monkeypatch):
    real_find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "tensorflow" else real_find_spec(name, *rest)
    )
    assert prepare.main(["cifar10", f"--data_dir={tmp_path}"]) == 2
    assert _one_line(capsys, stream="err").endswith("pip install tensorflow-cpu (on Linux; elsewhere tensorflow).")


@pytest.mark.parametrize(
    ("cause", "match"),
    [
        (
            "requests.ConnectionError",
            "Cannot download 'cifar10'. Check the network, or download cifar-10-binary.tar.gz",
        ),
        ("OSError", "Cannot prepare 'cifar10' in "),
    ],
)
def test_what_goes_wrong_outside_is_one_line(capsys, tmp_path, monkeypatch, cause, match):
    import requests

    def fail(url, timeout):
        raise {"requests.ConnectionError": requests.ConnectionError, "OSError": OSError}[cause]("two\nlines")

    monkeypatch.setattr(prepare, "_import_tensorflow", lambda: None)
    monkeypatch.setattr(requests, "head", fail)
    assert prepare.main(["cifar10", f"--data_dir={tmp_path}"]) == 2
    message = _one_line(capsys, stream="err")
    assert message.startswith(match)
    assert message.endswith("two lines")


def test_sets_whose_files_have_equal_names_are_extracted_apart(tmp_path, monkeypatch):
    """TFDS finds an earlier extraction by file name: fashion_mnist would become a copy of mnist."""
    configs = []

    def keep_config(self, *, download_config, file_format):
        configs.append((download_config, file_format))

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", keep_config)
    monkeypatch.setattr(prepare, "_import_tensorflow", lambda: None)
    for file in prepare.ORIGINAL_FILES["mnist"]:
        (tmp_path / file).touch()
    for name in ("mnist", "fashion_mnist"):
        assert prepare.main([name, f"--data_dir={tmp_path / 'data'}", f"--manual_dir={tmp_path}"]) == 2
    (mnist, file_format), (fashion_mnist, _) = configs
    assert mnist.extract_dir != fashion_mnist.extract_dir
    assert (str(mnist.manual_dir), mnist.force_checksums_validation) == (str(tmp_path), True)
    assert file_format == "array_record"


@needs_prepared
def test_prepared_set_is_left_alone(capsys):
    assert prepare.main(["mnist", f"--data_dir={DATA / 'tfds'}"]) == 0
    message = _one_line(capsys, stream="out")
    assert message.startswith("Already prepared: mnist 3.0.1 (train 60,000, test 10,000 pictures), 25.9 MiB in ")


@pytest.mark.slow
@needs_prepared
@pytest.mark.skipif(not has_tensorflow, reason="needs TensorFlow: pip install -e '.[prepare]'")
def test_mnist_is_prepared_from_its_original_files(capsys, tmp_path):
    arguments = ["mnist", f"--data_dir={tmp_path}", f"--manual_dir={DATA / 'mnist'}"]
    assert prepare.main(arguments) == 0
    assert "Prepared mnist 3.0.1 (train 60,000, test 10,000 pictures)" in capsys.readouterr().out
    assert prepare.main(arguments) == 0
    assert "Already prepared: mnist" in capsys.readouterr().out


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "prepare", interrupted)
    assert prepare.main(["mnist"]) == 130
    assert capsys.readouterr().err == "Interrupted.\n"
