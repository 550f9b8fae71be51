"""Defaults that all configs share, and the methods that a config's argument chooses from.

A config file is `get_config(argument)`: it takes `default(argument)`, overrides what its data set needs, and returns
`finish(config)`. The argument is a method, or `smoke`, or both: `--config=configs/ring.py:alternating_bures,smoke`.
"""

import ast
import contextlib
import functools
from collections.abc import Collection
from typing import Any

from ml_collections import config_dict

from buresgan_jax.errors import UserError, did_you_mean

# What a method means; everything else in a config is independent of it.
METHODS = {
    "gan": {"algorithm.name": "gan", "penalty.name": None},
    "bures": {"algorithm.name": "gan", "penalty.name": "bures"},
    "alternating_bures": {"algorithm.name": "alternating", "penalty.name": "bures"},
    "frobenius": {"algorithm.name": "gan", "penalty.name": "frobenius"},
    "gdpp": {"algorithm.name": "gan", "penalty.name": "gdpp"},
    "hinge": {"loss.name": "hinge"},
    "wgan_gp": {
        "loss.name": "wasserstein",
        "discriminator_penalty.name": "gradient",
        "algorithm.discriminator_steps": 5,
        "discriminator.use_batch_norm": False,
    },
    "pacgan": {"discriminator.pack": 2},
    "unrolled": {"algorithm.name": "unrolled", "discriminator.use_batch_norm": False, "optimizer.eps_root": 1e-30},
    "veegan": {"algorithm.name": "veegan", "encoder.hidden": (128, 128)},
    "mdgan_v1": {"algorithm.name": "mdgan_v1", "algorithm.reconstruction_weight": 0.2, "algorithm.mode_weight": 0.4},
    "mdgan_v2": {"algorithm.name": "mdgan_v2", "algorithm.reconstruction_weight": 1.0, "algorithm.mode_weight": 0.01},
}

# What a method means for points in the plane besides, as in the authors' experiments.
_ON_POINTS = {"wgan_gp": {"algorithm.discriminator_steps": 10, "discriminator_penalty.weight": 5.0}}

# Keys that do not change the training so far; a resumed run may differ in them.
FREE_KEYS = (
    "data.data_dir",
    "data.resident",
    "evaluation.best_by",
    "evaluation.every_steps",
    "evaluation.extractor",
    "evaluation.classifier",
    "evaluation.metrics",
    "evaluation.min_hits",
    "evaluation.num_neighbors",
    "evaluation.num_real",
    "evaluation.num_samples",
    "evaluation.num_splits",
    "evaluation.resizer",
    "evaluation.split",
    "evaluation.subset_size",
    "evaluation.weights",
    "training.checkpoint_every_steps",
    "training.keep_checkpoints",
    "training.keep_every_steps",
    "training.log_every_steps",
    "training.num_steps",
    "training.sample_every_steps",
    "training.steps_per_call",
)


# Keys whose values are traced: runs that differ in nothing else can train under one vmap.
TRACED_KEYS = (
    "algorithm.mode_weight",
    "algorithm.reconstruction_weight",
    "discriminator_penalty.weight",
    "optimizer.discriminator_learning_rate",
    "optimizer.generator_learning_rate",
    "penalty.weight",
    "seed",
)


# What is read only where another key has one of these values.
_READ_WITH = {
    "algorithm.first_order": ("algorithm.name", ("unrolled",)),
    "algorithm.mode_weight": ("algorithm.name", ("mdgan_v1", "mdgan_v2")),
    "algorithm.reconstruction_weight": ("algorithm.name", ("mdgan_v1", "mdgan_v2")),
    "algorithm.simultaneous": ("algorithm.name", ("gan",)),
    "algorithm.unrolled_steps": ("algorithm.name", ("unrolled",)),
    "data.base": ("data.name", ("stacked_mnist", "tfds")),
    "data.crop": ("data.name", ("tfds", "image_folder")),
    "data.num_examples": ("data.name", ("ring", "grid", "unbalanced_ring", "unbalanced_grid", "stacked_mnist")),
    "data.on_broken": ("data.name", ("image_folder",)),
    "data.path": ("data.name", ("image_folder",)),
    "discriminator_penalty.weight": ("discriminator_penalty.name", ("gradient",)),
    "optimizer.decay_steps": ("optimizer.schedule", ("linear", "cosine")),
    "penalty.max_samples": ("penalty.name", ("bures", "frobenius", "gdpp")),
    "penalty.method": ("penalty.name", ("bures",)),
    "penalty.rtol": ("penalty.name", ("bures",)),
    "penalty.scale": ("penalty.name", ("bures", "frobenius")),
    "penalty.weight": ("penalty.name", ("bures", "frobenius", "gdpp")),
}


_WITH_QUIRKS = ("unrolled", "mdgan_v1", "mdgan_v2")  # what algorithm.reference_compat changes, beside gdpp


def unread(config: config_dict.ConfigDict, keys: Collection[str]) -> dict[str, str]:
    """Why some keys change nothing in a config, by key; those that do are not in it."""
    values, reasons = flatten(config), {}
    for key in keys:
        other, read_with = _READ_WITH.get(key, (None, ()))
        if other is not None and values[other] not in read_with:
            reasons[key] = f"config.{other} is {values[other]!r}; {key} counts with {' or '.join(map(repr, read_with))}"
    has_quirks = values["algorithm.name"] in _WITH_QUIRKS or values["penalty.name"] == "gdpp"
    if "algorithm.reference_compat" in keys and not has_quirks:
        reasons["algorithm.reference_compat"] = "it counts with unrolled, mdgan_v1, mdgan_v2 and gdpp"
    return reasons


def default(argument: str = "bures") -> config_dict.ConfigDict:
    """The config before a data set's own settings.

    Args:
        argument: a method, `smoke`, or both with a comma between them. An unknown method is stored; building refuses
            it (an exception in here would end in a traceback).
    """
    words = [word.strip() for word in argument.split(",") if word.strip()]
    methods = [word for word in words if word != "smoke"] or ["bures"]

    config = config_dict.ConfigDict()
    config.method = ",".join(methods)
    config.smoke = "smoke" in words  # tiny networks, 2 steps, random data: does it run at all?
    config.seed = 0  # of everything: initial weights, z, order of the data, drawn points

    config.data = config_dict.ConfigDict()
    config.data.name = "ring"  # ring, grid, unbalanced_*, one of data.IMAGE_SETS, stacked_mnist, tfds, image_folder
    config.data.num_examples = config_dict.placeholder(int)  # points drawn once (None: endless); images stacked
    config.data.base = "mnist"  # tfds: the set; stacked_mnist: the gray one that the digits come from
    config.data.split = "train"  # of a TFDS set
    config.data.data_dir = config_dict.placeholder(str)  # of TFDS; None: its own default
    config.data.path = config_dict.placeholder(str)  # image_folder: the folder
    config.data.resident = config_dict.placeholder(bool)  # whole set on every device; None: see devices.data_memory
    config.data.image_size = config_dict.placeholder(int)  # height and width in pixels; None for points
    config.data.channels = 3  # of images
    config.data.crop = "center"  # tfds, image_folder: center (square), none (stretched), or pixels, such as "108"
    config.data.on_broken = "skip"  # image_folder: skip broken files with a count, or error

    config.generator = config_dict.ConfigDict()
    config.generator.name = "mlp"  # mlp, dcgan, resnet (32x32, 48x48 and 96x96 only)
    config.generator.hidden = (128, 128)  # mlp: widths
    config.generator.variant = "dcgan"  # dcgan: dcgan, veegan (28x28 only)
    config.generator.base_filters = 64  # dcgan
    config.generator.width = 200  # resnet: channels
    config.generator.dtype = "float32"  # of the computation; parameters stay float32

    config.discriminator = config_dict.ConfigDict()
    config.discriminator.name = "mlp"
    config.discriminator.hidden = (128, 128)
    config.discriminator.variant = "dcgan"
    config.discriminator.base_filters = 64
    config.discriminator.width = 200
    config.discriminator.use_batch_norm = True  # dcgan
    config.discriminator.pair_hidden = (512, 512)  # of images in veegan: widths after z has joined the features
    config.discriminator.pack = 1  # samples judged together (PacGAN); batch_size counts samples all the same
    config.discriminator.dtype = "float32"

    config.encoder = config_dict.ConfigDict()  # of mdgan and veegan; else as the generator
    config.encoder.hidden = (128,)  # fully connected ones: widths

    config.latent = config_dict.ConfigDict()
    config.latent.name = "normal"  # normal, uniform
    config.latent.dim = 256

    config.algorithm = config_dict.ConfigDict()
    config.algorithm.name = "gan"  # gan, alternating, unrolled, veegan, mdgan_v1, mdgan_v2
    config.algorithm.discriminator_steps = 1  # gan: discriminator updates per generator update
    config.algorithm.simultaneous = True  # gan: both networks move at once
    config.algorithm.unrolled_steps = 5  # unrolled: discriminator updates that the generator looks ahead
    config.algorithm.first_order = False  # unrolled: without the gradient through these updates
    config.algorithm.reconstruction_weight = 1.0  # mdgan: of the squared error of G(E(x))
    config.algorithm.mode_weight = 1.0  # mdgan: of the generator's loss on G(E(x))
    config.algorithm.reference_compat = False  # what the authors' code does where it differs, see docs/methods.md

    config.loss = config_dict.ConfigDict()
    config.loss.name = "non_saturating"  # non_saturating, hinge, wasserstein

    config.penalty = config_dict.ConfigDict()
    config.penalty.name = config_dict.placeholder(str)  # bures, frobenius, gdpp, None
    config.penalty.weight = 1.0
    config.penalty.scale = "sum"  # sum (the authors') or mean over the batch
    config.penalty.method = "eigh"  # bures: see docs/bures.md; eigh is the fast one on a CPU, svd exact
    config.penalty.rtol = config_dict.placeholder(float)  # bures: cut-off of the gradient; None: by dtype and method
    config.penalty.max_samples = config_dict.placeholder(int)  # rows of the global batch that it looks at; None: all

    config.discriminator_penalty = config_dict.ConfigDict()
    config.discriminator_penalty.name = config_dict.placeholder(str)  # gradient, None
    config.discriminator_penalty.weight = 10.0

    config.optimizer = config_dict.ConfigDict()
    config.optimizer.name = "adam"
    config.optimizer.generator_learning_rate = 1e-3
    config.optimizer.discriminator_learning_rate = 1e-3
    config.optimizer.b1 = 0.5
    config.optimizer.b2 = 0.999
    config.optimizer.eps = 1e-7  # Keras's
    config.optimizer.eps_root = 0.0  # under the root: above 0 where gradients go through updates (unrolled)
    config.optimizer.schedule = "constant"  # constant, linear or cosine to 0 at decay_steps
    config.optimizer.decay_steps = config_dict.placeholder(int)

    config.training = config_dict.ConfigDict()
    config.training.batch_size = 256  # over all devices
    config.training.num_steps = 25_000
    config.training.steps_per_call = config_dict.placeholder(int)  # None: see devices.choose_steps_per_call
    config.training.ema_decay = 0.999  # of the generator's moving averages
    config.training.log_every_steps = 100
    config.training.sample_every_steps = 1_000
    config.training.checkpoint_every_steps = 1_000
    config.training.keep_checkpoints = 2  # the newest ones
    config.training.keep_every_steps = config_dict.placeholder(int)  # and every one at such a step, for ever

    config.evaluation = config_dict.ConfigDict()
    config.evaluation.every_steps = 1_000
    config.evaluation.num_samples = 2_500  # the paper's protocol for ring and grid
    config.evaluation.min_hits = 1  # samples within 3 standard deviations that make a mode count
    config.evaluation.classifier = config_dict.placeholder(
        str
    )  # stacked_mnist: the classifier's file; None: in the workdir

    config.evaluation.metrics = ""  # of images, with commas between them: see image_metrics.METRICS
    config.evaluation.extractor = "pixels"  # of the features that they are made from: see build.EXTRACTORS
    config.evaluation.weights = config_dict.placeholder(str)  # the extractor's file; None: where it looks by itself
    config.evaluation.resizer = config_dict.placeholder(str)  # of the extractor; None: its default
    config.evaluation.split = config_dict.placeholder(str)  # of the real images; None: the one trained on
    config.evaluation.num_real = config_dict.placeholder(int)  # so many of them, drawn once; None: all
    config.evaluation.subset_size = 1_000  # of kernel_distance
    config.evaluation.num_splits = 10  # of inception_score and inception_variance
    config.evaluation.num_neighbors = 5  # of precision_recall
    config.evaluation.best_by = config_dict.placeholder(str)  # keep the best state by it, such as ema_reverse_kl

    for key, value in METHODS.get(config.method, {}).items():
        _set(config, key, value)
    return config


def use_points(config: config_dict.ConfigDict) -> None:
    """What points in the plane share: steps of milliseconds, so intervals of many, and what a method means for them."""
    config.training.log_every_steps = 500
    config.training.sample_every_steps = 2_500
    config.training.checkpoint_every_steps = 2_500
    config.evaluation.every_steps = 2_500
    for key, value in _ON_POINTS.get(config.method, {}).items():
        _set(config, key, value)


def use_images(config: config_dict.ConfigDict, *, image_size: int, channels: int) -> None:
    """What all image sets share: their shape, the paper's DCGANs and z, and intervals for steps that take long."""
    config.data.image_size = image_size
    config.data.channels = channels
    config.generator.name = "dcgan"
    config.discriminator.name = "dcgan"
    config.latent.dim = 100
    config.training.log_every_steps = 20
    config.training.sample_every_steps = 500
    config.training.checkpoint_every_steps = 500


def use_resnets(config: config_dict.ConfigDict, *, num_steps: int) -> None:
    """What the paper's ResNets share, on top of `use_images`: networks, z, batch and optimizer."""
    config.generator.name = "resnet"
    config.discriminator.name = "resnet"
    config.latent.dim = 128
    config.algorithm.simultaneous = False
    config.optimizer.generator_learning_rate = 5e-4
    config.optimizer.discriminator_learning_rate = 5e-4
    config.optimizer.b1 = 0.0
    config.optimizer.b2 = 0.9
    config.optimizer.schedule = "linear"
    config.training.batch_size = 64
    config.training.num_steps = num_steps
    config.optimizer.decay_steps = config.training.get_oneway_ref("num_steps")  # also where it is overridden


def finish(config: config_dict.ConfigDict) -> config_dict.ConfigDict:
    """The last call of every `get_config`: as many packs as there would be samples, and `smoke` shrinks everything."""
    config.training.batch_size *= config.discriminator.pack
    if not config.smoke:
        return config
    for network in (config.generator, config.discriminator):
        network.hidden = (8, 8)
        network.base_filters = 2
        network.width = 4
    config.encoder.hidden = config.discriminator.pair_hidden = (8,)
    config.latent.dim = 4
    config.training.batch_size = 8
    config.training.num_steps = 2
    for key in ("steps_per_call", "log_every_steps", "sample_every_steps", "checkpoint_every_steps"):
        config.training[key] = 1
    config.evaluation.every_steps = 1
    config.evaluation.num_samples = 16
    config.evaluation.subset_size = 8
    config.evaluation.num_splits = 2
    return config


def _set(config, key, value):
    *groups, name = key.split(".")
    for group in groups:
        config = config[group]
    config[name] = value


def parse_value(config: config_dict.ConfigDict, key: str, word: str) -> Any:
    """The value that a config takes from `key=word`, as on the command line.

    Raises:
        UserError: there is no such key, or the word does not fit.
    """
    known = flatten(config)
    if key not in known:
        hint = did_you_mean(key, known, "buresgan_jax/config.py lists all keys.")
        raise UserError(f"Unknown config key {key!r}.{hint}")
    if key in ("method", "smoke"):
        raise UserError(f"{key}={word}: it is an argument of the config file, --config=FILE.py:METHOD.")
    *groups, name = key.split(".")
    kind = functools.reduce(lambda group, inner: group[inner], groups, config).get_type(name)
    value = word
    if kind is not str:
        with contextlib.suppress(ValueError, SyntaxError):
            value = ast.literal_eval(word)
    if word == "None" or (kind is int and not isinstance(value, int)):
        raise UserError(f"{key}={word} does not fit: the config needs {kind.__name__}.")
    changed = config.copy_and_resolve_references()
    try:
        changed.update_from_flattened_dict({key: value})
    except (TypeError, ValueError) as error:
        raise UserError(f"{key}={word} does not fit: {' '.join(str(error).split())}") from error
    return flatten(changed)[key]


def flatten(config) -> dict:
    """A config (or its JSON) as `{"group.key": value}`."""
    flat = {}
    for key, value in dict(config).items():
        if isinstance(value, dict | config_dict.ConfigDict):
            flat |= {f"{key}.{name}": item for name, item in flatten(value).items()}
        else:
            flat[key] = value
    return flat
