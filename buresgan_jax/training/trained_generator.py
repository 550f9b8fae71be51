"""The generator of a run, for use in other programs."""

import functools
import operator

import jax
import numpy as np
from etils import epath
from jax import export

from buresgan_jax.distances.public import Array
from buresgan_jax.runtime import files
from buresgan_jax.runtime.paths import user_path
from buresgan_jax.training import saved_run
from buresgan_jax.training.sampling import make_latent_sampler, make_sampler

_PLATFORMS = ("cpu", "cuda", "tpu")


class TrainedGenerator:
    """A generator with the parameters of one checkpoint.

    Attributes:
        config: The run's config.
        step: Updates that the run had done at the checkpoint.
        latent_dim: Dimension of z.
    """

    def __init__(self, workdir: epath.PathLike, *, checkpoint: str | int = saved_run.NEWEST, ema: bool = True):
        """Loads it, see `buresgan_jax.load_generator`."""
        self.config, algorithm, state = saved_run.load(workdir, checkpoint)
        self.step = int(state.step)
        self.latent_dim: int = self.config.latent.dim
        self._state = jax.device_put(state)
        self._sample = functools.partial(make_sampler(algorithm), self._state, ema=ema)
        self._sample_latent = functools.partial(make_latent_sampler(algorithm), self._state)
        self._latent = algorithm.latent
        self._generate = jax.jit(functools.partial(algorithm.generate, ema=ema))

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Draws samples: those of `--mode=sample` with the same seed, up to rounding.

        Args:
            n: How many, at least 1.
            seed: Decides z, from 0 to 2^32 - 1.

        Returns:
            Shape `[n, ...]`, float32: points, or images `[n, height, width, channels]` within [-1, 1].
        """
        return self._sample(*_key_and_number(n, seed))

    def sample_latent(self, n: int, seed: int = 0) -> np.ndarray:
        """Draws z: those of which `sample` makes its samples with the same seed.

        Args:
            n: How many, at least 1.
            seed: Decides z, from 0 to 2^32 - 1.

        Returns:
            Shape `[n, latent_dim]`, float32.
        """
        return self._sample_latent(*_key_and_number(n, seed))

    @property
    def latent_centers(self) -> np.ndarray | None:
        """The points that z lies around, `[m, latent_dim]`, where the latent distribution has such centers."""
        centers = self._latent.centers
        return None if centers is None else np.asarray(centers(self._state.latent))

    def generate(self, z: Array) -> jax.Array:
        """Maps z to samples, under any transformation of JAX. Each new number of rows compiles once.

        Args:
            z: Shape `[n, latent_dim]`, distributed as `config.latent.name` says; `sample_latent` draws such z.

        Returns:
            Shape `[n, ...]`, see `sample`.
        """
        if np.ndim(z) != 2 or np.shape(z)[1] != self.latent_dim:
            raise ValueError(f"z must have shape [n, latent_dim] = [n, {self.latent_dim}], got {np.shape(z)}.")
        return self._generate(self._state, jax.numpy.asarray(z, jax.numpy.float32))

    def export(self, path: epath.PathLike) -> None:
        """Writes `generate` to a file that needs JAX alone, on a CPU, a CUDA GPU or a TPU, for any number of rows.

        Read it by `jax.export.deserialize(bytearray(open(path, "rb").read())).call(z)`, z float32. JAX promises that
        its versions of the next six months can.

        Args:
            path: The file.
        """
        rows = export.symbolic_shape("n")
        z = jax.ShapeDtypeStruct((*rows, self.latent_dim), jax.numpy.float32)
        generate = jax.jit(functools.partial(self._generate, self._state))
        content = export.export(generate, platforms=_PLATFORMS)(z).serialize()
        with files.replacing(user_path(path, "path")) as file:
            file.write(content)


def _key_and_number(n, seed):
    n, seed = operator.index(n), operator.index(seed)
    if n < 1 or not 0 <= seed < 2**32:
        raise ValueError(f"n must be at least 1 and seed from 0 to 4294967295, got n={n} and seed={seed}.")
    return jax.random.key(seed), n
