"""The declared data sets: each opens the data that it describes."""

import jax
import numpy as np
import pytest
from PIL import Image

from buresgan_jax import builders, config, data, declarations
from buresgan_jax.config import catalog
from buresgan_jax.data import options
from buresgan_jax.errors import UserError

SETS = {each.name: each for each in vars(data).values() if isinstance(each, declarations.Component)}
POINTS = ("ring", "grid", "unbalanced_ring", "unbalanced_grid", "circle", "spiral", "two_scales")
IMAGES = tuple(name for name in SETS if name not in POINTS)
SHAPE = {"image_size": 8, "channels": 3}


def describe(name, **given):
    defaults = {option.name: option.default for option in SETS[name].options}
    return SETS[name].facts["describe"](**defaults | given)


def test_every_data_set_is_found_under_its_name():
    assert set(SETS) == {*POINTS, *data.IMAGE_SETS, "stacked_mnist", "joined", "tfds", "image_folder"}
    assert all(getattr(data, name) is component for name, component in SETS.items())
    assert {component.kind for component in SETS.values()} == {"data"}
    assert {name for name, component in SETS.items() if component.facts["is_drawn"]} == {*POINTS, "stacked_mnist"}


def test_options_of_one_name_are_declared_alike():
    declared = {}
    for option in [options.RESIDENT, *(option for component in SETS.values() for option in component.options)]:
        assert declared.setdefault(option.name, option) is option
    assert {name for name, option in declared.items() if option.is_free} == {"data_dir", "path", "resident"}
    group = config.default().data
    for name, option in declared.items():
        if name in group:
            assert group[name] == option.default, name
            assert group.get_type(name) is (option.kind or type(option.default)), name
    assert set(group) - {"name"} <= set(declared)


@pytest.mark.parametrize("name", POINTS)
def test_points_are_described_with_their_mixture(name):
    description, source = describe(name), SETS[name](seed=3, num_examples=20)
    assert (description.kind, description.example_shape) == ("points", source.example_shape)
    for field, expected in zip(source.mixture, description.mixture, strict=True):
        np.testing.assert_array_equal(field, expected)
    assert description.num_classes == source.num_classes == len(description.mixture.means)
    np.testing.assert_array_equal(source.fetch(np.arange(20)), SETS[name](seed=3).fetch(np.arange(20)))


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_described_by_their_size(name):
    description = describe(name, **SHAPE)
    assert (description.kind, description.example_shape, description.mixture) == ("images", (8, 8, 3), None)
    assert description.digits == ("mnist" if name == "stacked_mnist" else None)
    with pytest.raises(UserError, match=r"config\.data\.image_size is not set. Set it to the height and width"):
        describe(name)


@pytest.mark.parametrize(
    ("name", "split", "num_classes"),
    [("mnist", "train", 10), ("cifar100", "test", 100), ("stl10", "train", 10), ("stl10", "unlabelled", None)],
)
def test_named_sets_know_their_classes(name, split, num_classes):
    assert describe(name, split=split, **SHAPE).num_classes == num_classes


def test_the_number_of_stacks_and_of_their_channels(monkeypatch):
    gray = data.Source(
        "digits", 50, (8, 8, 1), lambda indices: np.zeros((len(indices), 8, 8, 1), np.uint8), data.decode_images, len
    )
    asked = []
    monkeypatch.setattr(
        "buresgan_jax.data.stacked.tfds_source", lambda name, **given: asked.append((name, given)) or gray
    )
    stacks = data.stacked_mnist(seed=0, image_size=8)
    assert (stacks.num_examples, stacks.example_shape, stacks.num_classes) == (128_000, (8, 8, 3), 1000)
    assert describe("stacked_mnist", image_size=8).num_classes == 1000
    assert asked == [("mnist", {"split": "train", "data_dir": None, "image_size": 8})]
    assert data.stacked_mnist(seed=0, num_examples=5).num_examples == 5
    with pytest.raises(UserError, match="A stack has 3 channels, got channels=1"):
        data.stacked_mnist(seed=0, channels=1)


def test_a_folder_is_opened_as_it_is_described(tmp_path):
    Image.new("RGB", (12, 10), (1, 2, 3)).save(tmp_path / "a.png")
    source = data.image_folder(seed=0, path=str(tmp_path), crop="6", **SHAPE)
    assert source.example_shape == describe("image_folder", **SHAPE).example_shape
    np.testing.assert_array_equal(source.fetch(np.zeros(1, int)), np.full((1, 8, 8, 3), [1, 2, 3]))
    with pytest.raises(UserError, match="config.data.path is not set"):
        data.image_folder(seed=0, **SHAPE)
    with pytest.raises(UserError, match="config.data.image_size is not set"):
        data.image_folder(seed=0, path=str(tmp_path))


def _spiral(*, seed, turns, num_examples):
    angles = np.linspace(0, 2 * np.pi * turns, num_examples)
    points = np.stack([angles * np.sin(angles), angles * np.cos(angles)], axis=1).astype(np.float32)
    return data.Source("spiral", num_examples, (2,), points.__getitem__, data.decode_points)


@pytest.fixture
def own_config(monkeypatch):
    """A config whose data set is declared outside of the package, and found by the catalog."""
    turns = declarations.Option("turns", 2.0, "turns of the spiral")
    declare = declarations.data(
        "spiral", "A spiral.", turns, options.NUM_EXAMPLES, describe=lambda **_: data.Description((2,))
    )
    monkeypatch.setitem(catalog.BUILT_IN["data"], "spiral", declare(_spiral))
    own = config.default("gan,smoke")
    own.data.update({"name": "spiral", "num_examples": 9})
    config.complete(own)
    return own


def test_a_data_set_from_outside_is_built_from_its_own_options(own_config):
    assert builders.describe(own_config) == data.Description((2,))
    source = builders.source(own_config)
    assert (source.name, source.num_examples, source.mixture) == ("spiral", 9, None)
    np.testing.assert_allclose(np.linalg.norm(source.fetch(np.array([8]))), 4 * np.pi, rtol=1e-5)  # the declared turns
    own_config.data.turns = 1.0
    np.testing.assert_allclose(np.linalg.norm(builders.source(own_config).fetch(np.array([8]))), 2 * np.pi, rtol=1e-5)


def test_what_a_data_set_opens_must_fit_its_description(own_config, monkeypatch):
    wrong = declarations.data("wrong", "Points in space.", describe=lambda **_: data.Description((3,)))
    component = wrong(lambda *, seed: _spiral(seed=seed, turns=1, num_examples=3))
    monkeypatch.setitem(catalog.BUILT_IN["data"], "spiral", component)
    with pytest.raises(UserError, match=r"'spiral' has examples of shape \(2,\), but the config says \(3,\)"):
        builders.source(own_config)


def test_a_smoke_run_on_images_has_random_ones():
    small = config.default("gan,smoke")
    small.data.update({"name": "stacked_mnist", "image_size": 8})
    assert builders.describe(small) == data.Description((8, 8, 3))  # without classes or digits
    images = builders.source(small).fetch(np.arange(32))
    assert (images.shape, images.dtype) == ((32, 8, 8, 3), np.uint8)
    small.smoke = False
    assert builders.describe(small) == data.Description((8, 8, 3), None, 1000, "mnist")
    assert jax.eval_shape(data.decode_images, images).dtype == np.float32
