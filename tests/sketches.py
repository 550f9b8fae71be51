"""Six methods as small real algorithms, declared as a user would declare them.

Each uses a part of the protocol that few built-in methods need: a network's own vectors, pairs of codes and examples,
an auxiliary network on pairs of images, schedules.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from buresgan_jax import algorithms, declarations, latents, losses
from buresgan_jax.algorithms import moves
from buresgan_jax.declarations import Option

# 1. MMD-GAN with the repulsive loss: spectral normalization, 16 outputs.


class SpectralDense(nn.Module):
    """A dense layer divided by its spectral norm, which one power iteration a move estimates."""

    features: int
    use_bias: bool = True

    @nn.compact
    def __call__(self, x, *, train):
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.features))
        vector = self.variable("spectral", "u", lambda: jnp.ones(self.features) / self.features**0.5)
        left = kernel @ vector.value
        right = kernel.T @ (left / jnp.linalg.norm(left))
        if train and not self.is_initializing():
            vector.value = jax.lax.stop_gradient(right / jnp.linalg.norm(right))
        y = x @ (kernel / jnp.linalg.norm(kernel @ jax.lax.stop_gradient(vector.value)))
        return y + self.param("bias", nn.initializers.zeros_init(), (self.features,))[None] if self.use_bias else y


class SpectralMLP(nn.Module):
    """A discriminator of spectrally normalized layers."""

    output_dim: int

    @nn.compact
    def __call__(self, x, *, train):
        features = nn.leaky_relu(SpectralDense(8)(x, train=train))
        # A kernel sees differences: a bias of the last layer would get no gradient.
        return SpectralDense(self.output_dim, use_bias=False)(features, train=train), features, {}


@declarations.discriminator("spectral_mlp", "fully connected, spectrally normalized")
def spectral_mlp(example_shape, *, output_dim, axis_name, dtype):
    return SpectralMLP(output_dim)


def _mean_kernel(x, y, *, same):
    kernel = jnp.exp(-jnp.sum((x[:, None] - y[None]) ** 2, axis=-1) / 2)
    n = len(x)
    return (jnp.sum(kernel) - jnp.trace(kernel)) / (n * (n - 1)) if same else jnp.mean(kernel)


@declarations.loss("repulsive", "MMD with a repulsive discriminator")
def repulsive():
    def discriminator(real, fake):
        real_kernel, fake_kernel = _mean_kernel(real, real, same=True), _mean_kernel(fake, fake, same=True)
        return real_kernel - fake_kernel, {"real_kernel": real_kernel}

    def generator(real, fake):
        within = _mean_kernel(real, real, same=True) + _mean_kernel(fake, fake, same=True)
        return within - 2 * _mean_kernel(real, fake, same=False)

    return losses.AdversarialLoss(discriminator, generator)


# 2. A hybrid f-GAN: the discriminator estimates log p/q by the logistic loss, the generator lowers KL and reverse KL.


@declarations.loss(
    "hybrid", "logistic discriminator, generator between divergences", Option("share", 0.5, "of KL", least=0)
)
def hybrid(*, share):
    def generator(real_logits, fake_logits):
        del real_logits
        forward, reverse = -jnp.mean(jnp.exp(jnp.minimum(fake_logits, 5.0)) - 1), -jnp.mean(fake_logits)
        return share * forward + (1 - share) * reverse, {"kl_part": forward, "reverse_kl_part": reverse}

    return losses.AdversarialLoss(losses.non_saturating().discriminator, generator)


# 3. AE-OT-GAN: codes of a linear autoencoder, semi-discrete transport of a cube to them, pairs of codes and examples.


def _transport(source, seed, num_codes, dim):
    random = np.random.default_rng(seed)
    examples = source.fetch(np.arange(num_codes)).reshape(num_codes, -1)
    lifted = np.tanh(examples @ random.normal(size=(examples.shape[1], dim)))
    codes, heights = lifted / np.abs(lifted).max(), np.zeros(num_codes)
    for step in range(50):
        cube = random.uniform(-0.5, 0.5, (256, dim))
        counts = np.bincount(np.argmax(cube @ codes.T + heights, axis=1), minlength=num_codes)
        heights -= 0.1 / (1 + step) * (counts / 256 - 1 / num_codes)
    return {"codes": codes.astype(np.float32), "heights": heights.astype(np.float32)}


@declarations.algorithm("ae_ot", "transport to codes", Option("num_codes", 32, "examples with a code", least=1))
def ae_ot(game, *, num_codes):
    dim = game.latent.dim
    shapes = {"codes": (num_codes, dim), "heights": (num_codes,)}
    like = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in shapes.items()}

    def sample(arrays, key, n):
        cube = jax.random.uniform(key, (n, dim), minval=-0.5, maxval=0.5)
        scores, cells = jax.lax.top_k(cube @ arrays["codes"].T + arrays["heights"][None], 2)
        first, second = arrays["codes"][cells[:, 0]], arrays["codes"][cells[:, 1]]
        nearness = jnp.exp(scores[:, 1] - scores[:, 0])[:, None] / 2
        return (1 - nearness) * first + nearness * second

    def pairs(step, key):
        known = step.local.index < num_codes
        made = step.generate(step.state.latent["codes"][jnp.minimum(step.local.index, num_codes - 1)])
        return jnp.mean(known * jnp.sum((made - step.local.real) ** 2, axis=-1))

    compute = functools.partial(_transport, num_codes=num_codes, dim=dim)
    latent = latents.Latent(dim, sample, latents.Preparation(compute, like))
    terms = (*game.generator_terms, algorithms.Term("pairs", 1.0, pairs))
    return algorithms.gan(game._replace(latent=latent, generator_terms=terms))


# 4. Pseudo-supervision: fabricated z for some examples, drawn once and kept.


@declarations.algorithm("pseudo", "fabricated pairs", Option("num_pairs", 32, "examples with a z", least=1))
def pseudo(game, *, num_pairs):
    shape = (num_pairs, game.latent.dim)

    def fabricate(source, seed):
        return np.random.default_rng(seed).normal(size=shape).astype(np.float32)

    def supervised(step, key):
        known = step.local.index < num_pairs
        made = step.generate(step.state.prepared["z"][jnp.minimum(step.local.index, num_pairs - 1)])
        return jnp.mean(known * jnp.sum((made - step.local.real) ** 2, axis=-1))

    return algorithms.gan(
        game._replace(
            preparations={"z": latents.Preparation(fabricate, jax.ShapeDtypeStruct(shape, np.float32))},
            generator_terms=(*game.generator_terms, algorithms.Term("supervised", 1.0, supervised)),
        )
    )


# 5. InfoGAN-CR: a head of codes, an auxiliary network that sees pairs of samples, two moves of the generator.

NUM_CODES = 2


class CodeHead(nn.Module):
    """A discriminator with a second head."""

    output_dim: int

    @nn.compact
    def __call__(self, x, *, train):
        features = nn.tanh(nn.Dense(8)(x))
        return nn.Dense(self.output_dim)(features), features, {"codes": nn.Dense(NUM_CODES)(features)}


@declarations.discriminator("code_head", "with a head of codes")
def code_head(example_shape, *, output_dim, axis_name, dtype):
    return CodeHead(output_dim)


class PairClassifier(nn.Module):
    """Tells which code two samples share."""

    @nn.compact
    def __call__(self, pair, *, train):
        return nn.Dense(NUM_CODES)(nn.tanh(nn.Dense(8)(pair)))


def _information(step, key):
    return jnp.mean((step.outputs.fake_extra["codes"] - step.outputs.z[:, :NUM_CODES]) ** 2)


def _contrast(state, z, generate, shared):
    """Cross entropy of the shared code, given pairs of samples that share one."""
    kept = jax.nn.one_hot(shared, z.shape[1]) + (jnp.arange(z.shape[1]) >= NUM_CODES)[None]
    pair = jnp.concatenate([generate(z), generate(kept * z - (1 - kept) * z)], axis=-1)
    logits, _ = algorithms.apply(PairClassifier(), state.auxiliary["pair_classifier"], pair)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, shared))


def _draw_shared(key, num):
    return jax.random.randint(key, (num,), 0, NUM_CODES)


def _contrast_term(step, key):
    shared = step.rows(_draw_shared(key, len(step.outputs.z)))
    return _contrast(step.state, step.local.z, step.generate, shared)


@declarations.algorithm("infogan_cr", "codes and a contrastive regularizer")
def infogan_cr(game):
    pairs = algorithms.Auxiliary(
        "pair_classifier", PairClassifier(), game.generator_optimizer, lambda z, x: jnp.concatenate([x, x], axis=-1)
    )
    information = algorithms.Term("information", 0.2, _information)
    game = game._replace(
        auxiliary=(pairs,),
        generator_terms=(information, algorithms.Term("contrast", 1.0, _contrast_term)),
        discriminator_terms=(information,),
    )

    def pair_step(state, batch, key):
        z_key, pair_key = jax.random.split(key)
        z = moves.sample_latent(game, state, z_key, len(batch.examples))
        shared = moves.own_rows(game, _draw_shared(pair_key, len(z) * moves.axis_size(game)))
        network = state.auxiliary["pair_classifier"]

        def loss(params):
            moved = state.replace(auxiliary={"pair_classifier": network.replace(params=params)})
            return _contrast(moved, z, lambda z: algorithms.apply(game.generator, state.generator, z)[0], shared)

        value, gradient = moves.mean_over_devices(game, jax.value_and_grad(loss)(network.params))
        return moves.step_auxiliary(game, state, "pair_classifier", gradient, network.collections), value

    def update(state, batches, key):
        batch, keys = moves.nth(batches, 0), jax.random.split(key, 3)
        state, value = pair_step(state, batch, keys[0])
        first = moves.discriminator_update(game, state, batch, keys[1])
        twice = moves.generator_update(game, first.state, batch, keys[2])
        twice = moves.generator_update(game, twice.state, batch, keys[2])
        return moves.finish_step(game, twice.state), {"pair_loss": value, **first.metrics, **twice.metrics}

    return algorithms.make_algorithm(game, update)


# 6. R3GAN: the pairing loss with R1 and R2, a real batch for each player, and everything scheduled.


@declarations.algorithm(
    "r3gan", "the players in turn, each on a real batch of its own", requires={"loss.name": "pairing"}
)
def r3gan(game):
    def half_life(step):
        return 100 * (1 - optax.cosine_decay_schedule(1.0, 3)(step))

    game = game._replace(ema_decay=lambda step: 0.5 ** (8 / jnp.maximum(half_life(step), 1e-8)))

    def update(state, batches, key):
        first_key, second_key = jax.random.split(key)
        first = moves.discriminator_update(game, state, moves.nth(batches, 0), first_key)
        last = moves.generator_update(game, first.state, moves.nth(batches, 1), second_key)
        return moves.finish_step(game, last.state), first.metrics | last.metrics

    return algorithms.make_algorithm(game, update, batches_per_update=2)


_BURN_IN = {"schedule": "cosine", "schedule_end": 0.1, "schedule_steps": 3}
_R3GAN = {f"{term}.{name}": value for term in ("r1", "r2") for name, value in _BURN_IN.items()}
_R3GAN |= {"optimizer.schedule": "cosine", "optimizer.schedule_end": 0.25, "optimizer.decay_steps": 2}


# What each needs in a config.
SKETCHES = {
    "mmd_repulsive": ("gan+sketches:repulsive+sketches:spectral_mlp", {"discriminator.output_dim": 16}),
    "maem": ("maem", {}),  # built in by now, as the next; the only one with memories of terms and a sampled head
    "bourgan": ("bourgan", {"latent.dim": 6}),  # the only one whose z is prepared from the data
    "hybrid": ("gan+sketches:hybrid", {"loss.share": 0.25}),
    "ae_ot": ("sketches:ae_ot", {}),
    "pseudo": ("sketches:pseudo", {"algorithm.num_pairs": 16}),
    "infogan_cr": ("sketches:infogan_cr+sketches:code_head", {"latent.name": "uniform"}),
    "r3gan": ("sketches:r3gan+pairing+r1+r2", _R3GAN),
}
