"""Methods: what the config's argument chooses. A method only sets keys; everything else is independent of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Method(NamedTuple):
    """A combination with a name.

    Attributes:
        meaning: One line: what the generator minimizes.
        settings: Values of config keys.
        on_points: Further values for points in the plane, as in the authors' experiments.
        on_images: Further values for images; None if the method is for points only.
    """

    meaning: str
    settings: Mapping[str, Any] = {}
    on_points: Mapping[str, Any] = {}
    on_images: Mapping[str, Any] | None = {}

    def with_terms(self, *terms: str) -> "Method":
        """Returns the same method with these terms in place of its own.

        Args:
            *terms: Names, or `module:object`. Keys of dropped terms go with them. New terms have their defaults.
        """
        old, new = ({name.rpartition(":")[2] for name in each} for each in (self.settings.get("terms", ()), terms))
        left_out = old - new

        def keep(values):
            return values and {key: value for key, value in values.items() if key.partition(".")[0] not in left_out}

        settings, on_points, on_images = map(keep, (self.settings, self.on_points, self.on_images))
        return self._replace(settings={**settings, "terms": terms}, on_points=on_points, on_images=on_images)


# The joint objective of the authors of BuresGAN is (loss + term) / 2.
_HALF = {"algorithm.objective_scale": 0.5}


def _mmd(meaning, **loss):
    """An MMD-GAN on spectrally normalized networks, with the defaults of its authors."""
    settings = {"loss.name": "mmd", **{f"loss.{name}": value for name, value in loss.items()}}
    settings |= {"discriminator.output_dim": 16, "discriminator.spectral_norm": "operator"}
    on_images = {
        "generator.name": "sngan",
        "discriminator.name": "sngan",
        "latent.dim": 128,
        "optimizer.discriminator_learning_rate": 2e-4,
        "optimizer.generator_learning_rate": 2e-4,
        "optimizer.eps": 1e-8,
        "training.batch_size": 64,
    }
    # Found on the ring: with 4 one rate in two, with 8 every one loses modes; without a norm all modes are lost.
    on_points = {"discriminator.spectral_multiplier": 3.0, "optimizer.discriminator_learning_rate": 3e-4}
    if loss.get("repulsion", 1) > 0:
        # Both gradients vanish where real and fake agree. Adam with a small eps makes full steps of them: after 15,000
        # steps on the ring the samples leave the modes again. With 1e-2 they approach them more slowly.
        on_points["optimizer.eps"] = 1e-3
    return Method(meaning, settings, on_points, on_images)


# After 3,000 steps on the ring 10 % of the samples are near a mode with a weight of 1, 36 % with 0.1, 48 % with 0.01.
_BURN_IN = {"weight": 0.1, "schedule": "cosine", "schedule_end": 0.1, "schedule_steps": 2_500}


# Of the means of the outputs, as their noise has an entropy too; from 0 on, as the buffers are empty at first.
_ENTROPY = {"codes": "mean", "weight": 1e-3, "schedule": "linear", "schedule_start": 0.0, "schedule_steps": 2_500}


METHODS: dict[str, Method] = {
    "gan": Method("non-saturating loss"),
    "bures": Method("(non-saturating loss + squared Bures distance) / 2", {"terms": ("bures",), **_HALF}),
    "alternating_bures": Method(
        "the two in turn, on two batches", {"terms": ("bures",), "algorithm.name": "alternating"}
    ),
    "frobenius": Method("(non-saturating loss + squared Frobenius distance) / 2", {"terms": ("frobenius",), **_HALF}),
    "gdpp": Method("(non-saturating loss + distance of spectra and eigenvectors) / 2", {"terms": ("gdpp",), **_HALF}),
    "hinge": Method("hinge loss", {"loss.name": "hinge"}),
    "wgan_gp": Method(
        "Wasserstein loss against a discriminator with a gradient penalty",
        {
            "loss.name": "wasserstein",
            "terms": ("gradient_penalty",),
            "algorithm.discriminator_steps": 5,
            "discriminator.use_batch_norm": False,
        },
        {"algorithm.discriminator_steps": 10, "gradient_penalty.weight": 5.0},
    ),
    "pairing": Method(
        "loss on pairs of fake and real against a discriminator with the gradient penalties R1 and R2",
        {
            "loss.name": "pairing",
            "terms": ("r1", "r2"),
            "algorithm.simultaneous": False,
            "discriminator.use_batch_norm": False,
        },
        {f"{term}.{name}": value for term in ("r1", "r2") for name, value in _BURN_IN.items()},
    ),
    "f_gan": Method(
        "a divergence for each player, loss.critic and loss.generator; as it is, the non-saturating GAN",
        {"loss.name": "f_gan"},
        {"evaluation.metrics": "divergence_bounds"},
    ),
    "pacgan": Method("non-saturating loss on packs of samples", {"discriminator.pack": 2}),
    "unrolled": Method(
        "non-saturating loss against a discriminator 5 updates ahead",
        {"algorithm.name": "unrolled", "discriminator.use_batch_norm": False, "optimizer.eps_root": 1e-30},
    ),
    "mmd_repulsive": _mmd("squared MMD of outputs against a repulsive discriminator"),
    "mmd_repulsive_bounded": _mmd("the same, with distances bounded for the discriminator", bounded=True),
    "mmd_attractive": _mmd(
        "squared MMD of outputs against a discriminator that maximizes it", repulsion=-1.0, kernel="gaussian_mixture"
    ),
    "bourgan": Method(
        "non-saturating loss + error of distances against those of z, which lies around an embedding of the data",
        {"latent.name": "embedding", "latent.dim": 50, "terms": ("latent_distance",)},
        {"latent.distance_scale": "largest_root"},
        {"latent.dim": 50},  # by the rule for 1,000 points
    ),
    "best": Method(
        "for points: non-saturating loss + MMD of the samples + error at embedded examples, around which z lies",
        {
            "latent.name": "embedding",
            "terms": ("sample_mmd", "pseudo_supervision"),
            "sample_mmd.weight": 30.0,
            "pseudo_supervision.weight": 10.0,
            "pseudo_supervision.schedule": "cosine",
            "pseudo_supervision.schedule_end": 0.0,
            "pseudo_supervision.schedule_steps": 12_500,
            "optimizer.schedule": "cosine",
            "optimizer.generator_learning_rate": 3e-3,
        },
        {
            "latent.num_points": 10_000,
            "latent.noise_factor": 8.0,  # near the root of dim: a group becomes one Gaussian
            "latent.dim": 70,  # by the rule for 10,000 points
            "training.batch_size": 256,
            "training.num_steps": 25_000,
        },
        None,
    ),
    "maem": Method(
        "Wasserstein loss of mean outputs + entropy of codes, against a discriminator with an entropy of its own",
        {
            "loss.name": "wasserstein",
            "terms": ("entropy", "real_entropy", "dlle", "disomap"),
            **{f"{term}.{name}": value for term in ("entropy", "real_entropy") for name, value in _ENTROPY.items()},
            "discriminator.output_dim": 16,
            "discriminator.sampled_outputs": True,
            # The authors divide by the norm of the kernel. On stacked MNIST with a discriminator of a quarter of the
            # width, fakes then have larger outputs than real examples from step 300 on, and the pictures turn black.
            "discriminator.spectral_norm": "operator",
            "discriminator.use_batch_norm": False,
            "algorithm.discriminator_steps": 3,
            # The authors have weights of 1. In short runs on images, the pictures are blurred then.
            "disomap.weight": 0.1,
            "dlle.weight": 0.1,
        },
        # In the plane an affine discriminator sees the mean alone, so that DIsoMap has a small weight. With a norm of
        # 10 the ring's samples lie too close together, and fewer of the grid's are near a mode.
        {
            "discriminator.spectral_multiplier": 5.0,
            "disomap.weight": 1e-3,
            "optimizer.schedule": "cosine",
        },
        {
            "latent.dim": 64,
            "optimizer.generator_learning_rate": 1e-4,
            "optimizer.discriminator_learning_rate": 1e-4,
            "optimizer.b1": 0.0,
            "optimizer.eps": 1e-8,
            # Of 313 updates in an epoch of CIFAR-10: 50 epochs, and 100 for the warm-up.
            "optimizer.schedule": "staircase",
            "optimizer.decay_steps": 15_650,
            "optimizer.schedule_end": 0.9,
            "training.batch_size": 64,
            "entropy.schedule_steps": 31_300,
            "real_entropy.schedule_steps": 31_300,
        },
    ),
    "veegan": Method("loss on pairs + reconstruction of z", {"algorithm.name": "veegan", "encoder.hidden": (128, 128)}),
    "mdgan_v1": Method("loss + reconstruction of data through an encoder", {"algorithm.name": "mdgan_v1"}),
    "mdgan_v2": Method("the same, along the manifold and then on it", {"algorithm.name": "mdgan_v2"}),
}

# Those of the BuresGAN paper, and the hinge loss.
PAPER_METHODS = (
    *("gan", "bures", "alternating_bures", "frobenius", "gdpp", "hinge"),
    *("wgan_gp", "pacgan", "unrolled", "veegan", "mdgan_v1", "mdgan_v2"),
)
