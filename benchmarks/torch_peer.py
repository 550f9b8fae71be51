"""The project's networks, penalties and training step in PyTorch: the peer that `steps.py` times beside JAX.

    pip install -e ".[peers]"

Written as a good PyTorch user would: PyTorch's own padding, the fused Adam, one pass of the discriminator over the
fakes for both losses, no unused gradients, and the memory layout that was fastest on a CPU (channels-last in the
discriminator only). PyTorch's symmetric padding of a 5x5 convolution of stride 2 is the mirror image of TensorFlow's
"SAME", so these networks are mirror images of the JAX networks (and images are `[batch, channels, height, width]`): the
same arithmetic without a copy to pad or crop. `tests/benchmarks/test_torch_peer.py` copies weights from one to the
other and compares outputs, losses, gradients and whole steps.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

METHODS = ("gan", "bures", "alternating_bures", "frobenius")
# Data set: height and width of the images; None for points in the plane.
DATA = {"ring": None, "stacked_mnist": 28, "cifar": 32, "stl10": 96}
_RTOL = 1e-3  # singular values below this part of the largest give no gradient, as in JAX's method "eigh"


# Networks


class PointGenerator(nn.Sequential):
    """Two hidden layers with tanh and a linear one: `[batch, 256] -> [batch, 2]`."""

    latent_dim = 256

    def __init__(self):
        super().__init__(nn.Linear(256, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 2))


class ImageGenerator(nn.Module):
    """The DCGAN generator: `[batch, 100] -> [batch, 3, size, size]`; no biases, batch norm after the activation."""

    latent_dim = 100

    def __init__(self, size: int):
        super().__init__()
        doublings = _doublings(size)
        self.start = size >> doublings
        filters = [256, *(64 * min(4, 2**power) for power in reversed(range(doublings)))]
        self.dense = nn.Linear(100, filters[0] * self.start**2, bias=False)
        self.norms = nn.ModuleList([_batch_norm(nn.BatchNorm1d, self.dense.out_features)])
        self.norms.extend(_batch_norm(nn.BatchNorm2d, channels) for channels in filters[1:])
        strides = [1] + [2] * doublings
        self.layers = nn.ModuleList(
            nn.ConvTranspose2d(old, new, 5, stride, padding=2, output_padding=stride - 1, bias=False)
            for old, new, stride in zip(filters, [*filters[1:], 3], strides, strict=True)
        )

    def forward(self, z):
        """Maps latent samples to images in [-1, 1]."""
        x = self.norms[0](F.relu(self.dense(z))).unflatten(1, (-1, self.start, self.start))
        for layer, norm in zip(self.layers[:-1], self.norms[1:], strict=True):
            x = norm(F.relu(layer(x)))
        return torch.tanh(self.layers[-1](x))


class PointDiscriminator(nn.Module):
    """Two hidden layers with tanh and a linear one: `[batch, 2] -> [batch, 1]`."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(2, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh())
        self.head = nn.Linear(128, 1)

    def forward(self, x):
        """Outputs `[batch, 1]` and features `[batch, 128]`."""
        features = self.trunk(x)
        return self.head(features), features


class ImageDiscriminator(nn.Module):
    """The DCGAN discriminator: convolutions of stride 2 with LeakyReLU, batch norm after all but the first."""

    def __init__(self, size: int):
        super().__init__()
        doublings = _doublings(size)
        channels = [3, *(64 * 2**layer for layer in range(doublings + 1))]
        self.layers = nn.ModuleList(
            nn.Conv2d(old, new, 5, 2, padding=2) for old, new in zip(channels, channels[1:], strict=False)
        )
        self.norms = nn.ModuleList(_batch_norm(nn.BatchNorm2d, new) for new in channels[2:])
        last = -(-(size >> doublings) // 2)  # rounded up
        self.head = nn.Linear(channels[-1] * last**2, 1)

    def forward(self, x):
        """Outputs `[batch, 1]` and features, the flattened last convolution."""
        for layer, norm in zip(self.layers, [None, *self.norms], strict=True):
            x = F.leaky_relu(layer(x), 0.3)
            x = x if norm is None else norm(x)
        features = x.flatten(1)
        return self.head(features), features


def _doublings(size):
    """The number of times that the generator doubles its first feature map, which is at most 13 x 13."""
    return next(power for power in range(1, size) if size >> power <= 13)


def _batch_norm(kind, features):
    return kind(features, eps=1e-3, momentum=0.01)


def make_networks(data: str) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator for a data set, Glorot-uniform with zero biases."""
    size = DATA[data]
    generator = PointGenerator() if size is None else ImageGenerator(size)
    discriminator = PointDiscriminator() if size is None else ImageDiscriminator(size)
    for module in (*generator.modules(), *discriminator.modules()):
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return generator, discriminator.to(memory_format=torch.channels_last)


# Losses and penalties


def discriminator_loss(real_outputs, fake_outputs):
    """Mean of the two cross entropies, from logits."""
    return (F.softplus(-real_outputs).mean() + F.softplus(fake_outputs).mean()) / 2


def generator_loss(fake_outputs):
    """The non-saturating loss."""
    return F.softplus(-fake_outputs).mean()


def _prepare(features):
    return F.normalize(features - features.mean(0), eps=1e-6)


def bures_penalty(fake_features, real_features):
    """Squared Bures distance of centered, row-normalized batches, `|F|^2 + |R|^2 - 2 |F R^T|_*`, in the smaller space.

    The nuclear norm by the eigenvalues of the squared product, whose gradient PyTorch has without dividing by gaps:
    faster than `torch.linalg.matrix_norm(..., "nuc")` in every shape and number of threads that was tried.
    """
    fake, real = _prepare(fake_features.float()), _prepare(real_features.detach().float())
    if fake.shape[0] > fake.shape[1]:
        gram = real.T @ real
        shift = len(gram) * torch.finfo(gram.dtype).eps * gram.trace()
        real = torch.linalg.cholesky_ex(gram + shift * torch.eye(len(gram), device=gram.device))[0].T
    cross = fake @ real.T
    squares = torch.linalg.eigvalsh(cross.T @ cross)
    cut_off = _RTOL**2 * squares[-1].detach()
    nuclear_norm = (squares.clamp_min(cut_off).sqrt() * (squares > cut_off)).sum()
    return fake.square().sum() + real.square().sum() - 2 * nuclear_norm


def frobenius_penalty(fake_features, real_features):
    """Squared Frobenius distance of the second moments of centered, row-normalized batches, in the smaller space."""
    fake, real = _prepare(fake_features.float()), _prepare(real_features.detach().float())
    if fake.shape[1] <= fake.shape[0]:
        return (fake.T @ fake - real.T @ real).square().sum()
    own = (fake @ fake.T).square().sum() + (real @ real.T).square().sum()
    return own - 2 * (fake @ real.T).square().sum()


# Training


class Peer:
    """Two networks, their optimizers, and the moving average of the generator.

    Attributes:
        generator: The generator's module.
        discriminator: The discriminator's module.
        ema: Moving averages of the generator's parameters and batch statistics, in the order of its `state_dict`.
        batches_per_update: Real batches that one step consumes.
    """

    def __init__(self, data: str, method: str, *, dtype: torch.dtype = torch.float32, device: str = "cpu"):
        self.generator, self.discriminator = (network.to(device) for network in make_networks(data))
        self.batches_per_update = 2 if method == "alternating_bures" else 1
        self._is_joint = method in ("bures", "frobenius")
        self._distance = frobenius_penalty if method == "frobenius" else bures_penalty
        self._autocast = lambda: torch.autocast(device, dtype, enabled=dtype != torch.float32)
        self._optimizers = {
            network: torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.999), eps=1e-7, fused=True)
            for network in (self.generator, self.discriminator)
        }
        self._averaged = [value for value in self.generator.state_dict().values() if value.is_floating_point()]
        self.ema, self._steps = [value.clone() for value in self._averaged], 0

    def compile(self):
        """Computes the gradients with `torch.compile` from now on: forward and both backward passes in one graph."""
        torch._dynamo.config.trace_autograd_ops = True  # or the graph breaks before the backward passes
        self.gradients = torch.compile(self.gradients, fullgraph=True, dynamic=False)
        self.penalty_gradient = torch.compile(self.penalty_gradient, fullgraph=True, dynamic=False)

    def losses(self, z, real):
        """Objectives of generator and discriminator from one pass. Real and fake batch are normalized separately."""
        with self._autocast():
            real_outputs, real_features = self.discriminator(real)
            fake_outputs, fake_features = self.discriminator(self.generator(z))
        generator = generator_loss(fake_outputs.float())
        if self._is_joint:
            generator = (generator + self._distance(fake_features, real_features)) / 2
        return generator, discriminator_loss(real_outputs.float(), fake_outputs.float())

    def gradients(self, z, real):
        """Gradient of each player's objective in its own parameters: generator, discriminator."""
        generator, discriminator = self.losses(z, real)
        by_discriminator = torch.autograd.grad(discriminator, [*self.discriminator.parameters()], retain_graph=True)
        return torch.autograd.grad(generator, [*self.generator.parameters()]), by_discriminator

    def penalty_gradient(self, z, real):
        """Gradient of the penalty alone in the generator's parameters."""
        with self._autocast():
            with torch.no_grad():
                real_features = self.discriminator(real)[1]
            fake_features = self.discriminator(self.generator(z))[1]
        return torch.autograd.grad(self._distance(fake_features, real_features), [*self.generator.parameters()])

    def step(self, z, real):
        """One full step on `batches_per_update` latent batches `[batch, latent_dim]` and as many real ones."""
        if self.batches_per_update == 2:
            self._move(self.generator, self.penalty_gradient(z[0], real[0]))
        by_generator, by_discriminator = self.gradients(z[-1], real[-1])
        self._move(self.generator, by_generator)
        self._move(self.discriminator, by_discriminator)
        decay = min(0.999, (1 + self._steps) / (10 + self._steps))
        torch._foreach_lerp_(self.ema, self._averaged, 1 - decay)
        self._steps += 1

    def _move(self, network, gradient):
        for parameter, value in zip(network.parameters(), gradient, strict=True):
            parameter.grad = value
        self._optimizers[network].step()


def allow_tf32(is_allowed: bool):
    """Sets whether a GPU may round the factors of float32 products to 10 bits, in convolutions and elsewhere."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = is_allowed


class Done:
    """The result of a step. `jax.block_until_ready` of it waits for the device."""

    def __init__(self, device: str):
        self._device = device

    def block_until_ready(self):
        """Waits until the GPU has nothing left to do."""
        if self._device == "cuda":
            torch.cuda.synchronize()


def make_step(
    data: str,
    method: str,
    batch_size: int,
    *,
    compiled: bool = False,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> Callable[[], Done]:
    """One full training step on a resident batch with fresh z, as a function without arguments.

    Args:
        data: A key of `DATA`.
        method: One of `METHODS`.
        batch_size: Size of each real batch.
        compiled: Whether the gradients go through `torch.compile`; the first call then takes a minute.
        dtype: Dtype of the networks' computation, float32 or bfloat16 (autocast).
        device: "cpu" or "cuda"; there, a step has not ended when the function returns, see `Done`.
    """
    torch.backends.cudnn.benchmark = True  # the fastest convolutions, as XLA chooses them
    peer, size = Peer(data, method, dtype=dtype, device=device), DATA[data]
    if compiled:
        peer.compile()
    real = torch.randn(peer.batches_per_update, batch_size, *((2,) if size is None else (3, size, size)), device=device)
    if size is not None:
        real = [batch.contiguous(memory_format=torch.channels_last) for batch in real]
    z_shape = (peer.batches_per_update, batch_size, peer.generator.latent_dim)

    def step():
        peer.step(torch.randn(z_shape, device=device), real)
        return Done(device)

    return step
