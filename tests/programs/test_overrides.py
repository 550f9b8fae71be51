"""Wrong overrides, made from the declarations: each is one line and status 2, or trains a smoke run."""

import helpers
import pytest

from buresgan_jax import config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning"),  # ml_collections on Python 3.12
]

_HUGE = ("1000000000000", "1" + 30 * "0", "2147483647")
_WORDS = {
    int: ("abc", "1.5", "nan", "-1", "0", "", "None", "True", "²", "٣", "1_0", *_HUGE),
    float: ("abc", "nan", "inf", "-inf", "-1", "1e12", "1e30", "1e300", "-1e-30", "", "None", "True"),
    bool: ("abc", "2", "nan", "", "None", "1.0"),
    str: ("", "None", "größe 模%s{}", "no_module:b", "os:", "x" * 300),
    tuple: ("", "()", "None", "0", "-1", "1.5", "nan", "(8, 'a')", "((8,),)", "[8,", "True", *_HUGE[:2]),
}
_RUNS = {
    "ring": "--config=configs/ring.py:bures+gdpp+gradient_penalty,smoke",
    "cifar": "--config=configs/cifar.py:unrolled+frobenius,smoke",
}
_GROUPS = sorted({key.rpartition(".")[0] for key in config.declared(helpers.load_config("ring", "bures+gdpp"))})


def read_keys(name, group):
    """The declarations of a group's keys that a run reads, or would with other metrics."""
    made = helpers.load_config(name, _RUNS[name].rpartition(":")[2])
    unread = () if group == "evaluation" else config.unread(made, config.flatten(made))
    keys = config.declared(made).items()
    return {key: option for key, option in keys if key.rpartition(".")[0] == group and key not in unread}


def overrides(name, group):
    """Wrong words for the keys of a group, and wrong keys; for images, of the keys that points do not read."""
    known = () if name == "ring" else read_keys("ring", group)
    for key, option in read_keys(name, group).items():
        if key not in known:
            words = _WORDS[option.value_type]
            is_endless = key == "training.num_steps"  # 2^31 - 1 steps are allowed
            yield from (f"--config.{key}={word}" for word in words if not (is_endless and word == _HUGE[2]))
            yield from (f"--config.{key}x=1", f"--config.{key}.x=1", f"--config.{key}")
    if group and name == "ring":
        yield from (f"--config.{group}={word}" for word in ("1", "{}", "None", "{'a': 1}"))


@pytest.mark.parametrize("name", _RUNS)
@pytest.mark.parametrize("group", _GROUPS)
def test_a_wrong_override_is_one_line_or_trains(monkeypatch, capfd, tmp_path, group, name):
    faults, num_refused, num_trained = [], 0, 0
    for number, override in enumerate(overrides(name, group)):
        argv = ["main", _RUNS[name], f"--workdir={tmp_path / str(number)}", override]
        try:
            status = helpers.call(monkeypatch, argv)
        except Exception as error:
            faults.append((override, repr(error)))
            capfd.readouterr()
            continue
        out, err = capfd.readouterr()
        is_refused = status == 2 and not out and err.count("\n") == 1
        is_diverged = status == 1 and err.splitlines()[-1].startswith("Training diverged at")
        num_refused, num_trained = num_refused + is_refused, num_trained + (status == 0)
        if not (is_refused or is_diverged or (status == 0 and "\nfinal {" in f"\n{out}")):
            faults.append((override, status, out, err))
    with capfd.disabled():
        print(f"\n{name} {group or '(top)'}: {num_refused} refused, {num_trained} trained")
    assert not faults, "\n".join(map(str, faults))
