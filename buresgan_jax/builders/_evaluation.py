"""The evaluators of a run."""

import urllib.parse
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from etils import epath

from buresgan_jax import config as config_lib
from buresgan_jax import data, extractors
from buresgan_jax.builders import _data, _methods
from buresgan_jax.errors import UserError, split_names
from buresgan_jax.evaluation import classifier_training, discriminator_metrics, image_metrics, point_metrics
from buresgan_jax.evaluation.discriminator_metrics import discriminator_evaluator
from buresgan_jax.evaluation.evaluators import Evaluator, check_names
from buresgan_jax.evaluation.image_evaluator import METRIC_OPTIONS, SHARED_OPTIONS, Comparison, image_evaluator
from buresgan_jax.evaluation.modes import joined_evaluator, mode_evaluator, stacked_evaluator
from buresgan_jax.evaluation.own_metrics import own_evaluator
from buresgan_jax.evaluation.point_metrics import point_evaluator


def evaluators(
    config,
    source: data.Source | None = None,
    *,
    workdir: epath.PathLike,
    on_batch: Callable[[], object] = lambda: None,
    strict: bool = False,
) -> tuple[Evaluator, ...]:
    """Makes the evaluators that a config asks for, and reads the real images that they compare with.

    Args:
        config: The config of a run.
        source: Its training data, if they are open already.
        workdir: The run's directory, where a classifier is kept unless the config names one.
        on_batch: Called before each batch of real images is read; what it raises ends the reading.
        strict: Whether a metric that cannot be computed is an error even if others can.

    Raises:
        UserError: A metric is unknown, does not fit the data, or lacks something that it needs.
    """
    description, found = _data.describe(config), []
    if description.mixture is not None:
        found.append(mode_evaluator(description.mixture, config.data.name, min_hits=config.evaluation.min_hits))
    if description.classifier is not None:
        found.append(_classifier_evaluator(config, description, workdir))
    chosen = config_lib.chosen(config)
    own_metrics = [each for key, each in chosen.items() if key.startswith("evaluation.metrics.")]
    own = [own_evaluator(metric, config.evaluation, description.kind) for metric in own_metrics]
    of_points = point_metrics.metric_names(config.evaluation.metrics)
    of_discriminator = discriminator_metrics.METRICS.keys() & set(split_names(config.evaluation.metrics))
    others = [*(metric.key for metric in own_metrics), *point_metrics.METRICS, *discriminator_metrics.METRICS]
    names = image_metrics.metric_names(config.evaluation.metrics, config.evaluation.extractor, others=others)
    if names and description.kind != "images":
        raise UserError(f"The metrics {', '.join(names)} are of images, and {config.data.name!r} has points.")
    if of_points:
        found.append(_point_evaluator(config, of_points, description.mixture))
    if of_discriminator:
        found.append(_discriminator_evaluator(config, description.mixture, source))
    if names:
        found.append(_image_evaluator(config, names, source, on_batch, strict))
    found += own
    check_names(found)
    return tuple(found)


def _classifier_evaluator(config, description, workdir):
    file = config.evaluation.classifier or epath.Path(workdir) / f"{description.classifier}_classifier.npz"
    find_classifier = _classifier_when_needed(config, description, file)

    def read_labels():  # opens the data again, for their labels alone: the pixels may have left the host's memory
        source = _data.source(config)
        return source.labels(np.arange(source.num_examples))

    if description.sets is not None:
        return joined_evaluator(find_classifier, read_labels, description.sets)
    return stacked_evaluator(find_classifier, read_labels, description.digits, description.num_classes)


def _classifier_when_needed(config, description, file):
    when_needed, data_dir = classifier_training.classifier_when_needed, config.data.data_dir
    if description.sets is None:
        digits = description.digits
        return when_needed(digits, file, lambda: classifier_training.train_on_tfds(digits, data_dir=data_dir))
    # Its own number of images: it measures a run, and is no part of it.
    facts = _facts_of_joined(config)
    return when_needed(
        description.sets,
        file,
        lambda: classifier_training.train_on_joined(description.sets, data_dir=data_dir, **facts),
        network=classifier_training.network_of_sets(description.num_classes),
        image_shape=description.example_shape,
        **facts,
    )


def _facts_of_joined(config):
    size = min(config.data.image_size, classifier_training.SIZE_OF_JOINED)
    return {"channels": config.data.channels, "image_size": size, "split": config.data.split}


def _point_evaluator(config, names, mixture):
    if mixture is None:
        raise UserError(
            f"The metrics {', '.join(names)} compare with fresh points of a known mixture, and {config.data.name!r} is "
            "none. Leave them out of evaluation.metrics."
        )
    point_metrics.check(names, config.evaluation.num_samples)
    return point_evaluator(names, mixture, config.data.name, seed=config.seed)


def _discriminator_evaluator(config, mixture, source):
    if _methods.algorithm(config).log_ratio is None:
        raise UserError(
            "The metric divergence_bounds needs a discriminator of single examples that estimates log(p / q). With "
            f"config.loss.name={config.loss.name!r}, config.algorithm.name={config.algorithm.name!r} and "
            f"config.discriminator.pack={config.discriminator.pack} there is none. Use the loss non_saturating or "
            "f_gan, or leave the metric out of evaluation.metrics."
        )
    n = config.evaluation.num_samples
    if mixture is not None:
        real = data.held_out_points(mixture, n, seed=config.seed)
        return discriminator_evaluator(real, f"fresh points of {config.data.name}")
    source = source or _data.source(config)
    index = np.arange(n)
    if source.num_examples is not None:
        size = min(n, source.num_examples)
        index = np.random.default_rng(config.seed).choice(source.num_examples, size, replace=False)
    parts = np.array_split(index, -(-len(index) // 256))
    real = np.concatenate([np.asarray(source.decode(jnp.asarray(source.fetch(part)))) for part in parts])
    return discriminator_evaluator(real, f"training examples of {config.data.name}")


def _image_evaluator(config, names, source, on_batch, strict):
    options, has_splits = config.evaluation, _data.has_splits(config)
    if options.split and not has_splits:
        raise UserError(
            f"config.evaluation.split={options.split!r}: {config.data.name!r} has no splits. Compare samples with "
            "another set of images: python -m buresgan_jax.metrics."
        )
    extractor = extractors.named_extractor(options.extractor, options.weights, options.resizer)
    if options.split and options.split != config.data.split:
        config, source = config.copy_and_resolve_references(), None
        config.data.split = options.split
    if source is None:
        source = _data.source(config)
    comparison = Comparison(
        names,
        extractor,
        {name: options[name] for name in METRIC_OPTIONS},
        data.ImageBatches(source, num=options.num_real, on_batch=on_batch),
        name=f"{source.name}:{config.data.split}" if has_splits and not config.smoke else source.name,
        num_fake=options.num_samples,
        image_shape=source.example_shape,
        strict=strict,
    )
    return image_evaluator(comparison, {name: options[name] for name in (*SHARED_OPTIONS, *METRIC_OPTIONS)})


def shared_by_runs(config, folder: epath.PathLike) -> dict[str, str]:
    """Makes what the evaluators of several runs share, and keeps it in a folder.

    Args:
        config: The config of a run.
        folder: The folder.

    Returns:
        Config keys and their values with which the runs find it.
    """
    description = _data.describe(config)
    if description.classifier is None or config.evaluation.classifier is not None:
        return {}
    name = description.digits
    if name is None:
        name = "_".join(map(str, (description.sets, *_facts_of_joined(config).values())))
    file = epath.Path(folder) / f"classifier_{urllib.parse.quote(name, safe=',')}.npz"
    find_classifier = _classifier_when_needed(config, description, file)
    try:
        find_classifier()
    except UserError:
        if description.sets is None:
            raise
        return {}  # the runs go on without it
    return {"evaluation.classifier": str(file)}


def perfect_samples(config, n: int, seed: int) -> np.ndarray | None:
    """Draws what a perfect generator would make, for the best value that a metric can have; None if it is unknown."""
    mixture = _data.describe(config).mixture
    return None if mixture is None else data.sample_mixture(mixture, np.arange(n), seed=seed)[0]
