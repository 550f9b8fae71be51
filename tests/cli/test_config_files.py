import helpers
import pytest

from buresgan_jax import suite
from buresgan_jax.cli import config_files
from buresgan_jax.cli.command_flags import CONFIG
from buresgan_jax.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


def test_the_package_holds_the_files_of_configs():
    files = {file.relative_to(helpers.ROOT / "configs"): file for file in (helpers.ROOT / "configs").rglob("*.py")}
    assert {str(name.with_suffix("")) for name in files} == set(config_files.names())
    for name, file in files.items():
        assert (config_files.FOLDER / name).read_bytes() == file.read_bytes()


def test_a_name_works_in_any_folder_and_a_file_wins(tmp_path, monkeypatch):
    def data_set(*arguments):
        program = lambda argv: (CONFIG.value.data.name, argv)  # noqa: E731
        return helpers.call(monkeypatch, ["main", *arguments], program, cwd=tmp_path)

    assert data_set("--config=cifar:gan") == ("cifar10", ["main"])
    assert data_set("--config", "ring") == ("ring", ["main"])
    assert data_set("--config=ring:gan", "--config.data.name=grid") == ("grid", ["main"])
    (tmp_path / "ring").write_text((helpers.ROOT / "configs" / "grid.py").read_text())
    assert config_files.find("ring") == "ring"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rign", "Config file 'rign' does not exist. Did you mean 'ring'?"),
        ("none", "Give a path, or a name: celeba, celeba_256, cifar, "),
        ("configs/ring.py", "Config file 'configs/ring.py' does not exist. --config=ring is the package's own."),
        ("../main", "Config file '../main' does not exist."),
    ],
)
def test_a_file_that_does_not_exist_is_told(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        config_files.find(name)
    assert message in str(error.value)


def test_a_suite_of_the_users_takes_data_sets_of_the_package(tmp_path, monkeypatch, capfd):
    (tmp_path / "mine.py").write_text((helpers.ROOT / "configs" / "suites" / "synthetic.py").read_text())
    arguments = ["--config=mine.py", "--config.data=ring", "--config.seeds=0:1", "--config.methods=gan", "--notrain"]
    assert helpers.call(monkeypatch, ["suite", *arguments, "--workdir=out"], suite.main, cwd=tmp_path) == 1
    assert "| ring | gan | 1 (1 missing) |" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("program", "config", "message"),
    [
        (None, "suites/synthetic", "This is no config of a run: it has no 'algorithm'."),
        (
            suite.main,
            "cifar",
            "--config is no suite: config.data is no text. The package has suites/best, ",
        ),
    ],
)
def test_suites_and_configs_are_told_apart(tmp_path, monkeypatch, capfd, program, config, message):
    arguments = ["program", f"--config={config}", f"--workdir={tmp_path / 'new'}"]
    assert helpers.call(monkeypatch, arguments, program, cwd=tmp_path) == 2
    said = capfd.readouterr().err
    assert said.startswith(message)
    assert said.count("\n") == 1
    assert not (tmp_path / "new").exists()
