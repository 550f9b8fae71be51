"""The keys that belong to no component: how long to train, on how many examples, how fast."""

from buresgan_jax.data.options import RESIDENT
from buresgan_jax.declarations import MOST_SEED, SCHEDULES, Option

_DTYPE = Option("dtype", "float32", "of the computation; parameters stay float32", choices=("float32", "bfloat16"))
_NORMALIZED = ("discriminator.spectral_norm", ("operator", "kernel"))
_SCHEDULED = ("optimizer.schedule", ("linear", "cosine", "staircase"))

# By group; "" holds the keys at the top.
GENERAL: dict[str, tuple[Option, ...]] = {
    "": (
        Option("method", "bures", "the config's argument: METHOD, METHOD+TERM, ..."),
        Option("terms", (), "terms of both players' objectives; add one by the config's argument, METHOD+TERM"),
        Option("smoke", False, "tiny networks, 2 steps, random data: does it run at all?"),
        Option(
            "seed",
            0,
            "decides initial weights, z, the order of the data, drawn points",
            least=0,
            most=MOST_SEED,
            is_traced=True,
        ),
    ),
    "data": (
        Option("name", "ring", "the data set"),
        RESIDENT,
    ),
    "generator": (Option("name", "mlp", "the generator"), _DTYPE),
    "discriminator": (
        Option("name", "mlp", "the discriminator"),
        Option("output_dim", 1, "dimension of its outputs; 1 for a logit", least=1),
        Option("sampled_outputs", False, "draw the outputs from normal laws, whose means and variances it gives"),
        Option("pack", 1, "samples that it sees at once (PacGAN); batch_size counts samples all the same", least=1),
        _DTYPE,
        Option(
            "spectral_norm",
            "none",
            "divide each layer by its norm: as an operator on its input, or the norm of its kernel as a matrix",
            choices=("none", "operator", "kernel"),
        ),
        Option("spectral_multiplier", 1.0, "the norm that each layer gets", least=1e-6, read_with=_NORMALIZED),
        Option("spectral_warm_up", 50, "power iterations before the first step", least=1, read_with=_NORMALIZED),
    ),
    "encoder": (Option("hidden", (128,), "widths of the hidden layers of an MLP encoder", least=1, smoke=(8,)),),
    "latent": (
        Option("name", "normal", "the latent distribution"),
        Option("dim", 256, "dimension of z", least=1, smoke=4),
    ),
    "algorithm": (
        Option("name", "gan", "the order of moves"),
        Option("objective_scale", 1.0, "factor on the generator's whole objective; a method's fact", least=0),
    ),
    "loss": (Option("name", "non_saturating", "the adversarial loss"),),
    "optimizer": (
        Option("name", "adam", "the optimizer", choices=("adam",)),
        Option("generator_learning_rate", 1e-3, "learning rate of the generator", least=0, is_traced=True),
        Option("discriminator_learning_rate", 1e-3, "learning rate of the discriminator", least=0, is_traced=True),
        Option("b1", 0.5, "decay of Adam's first moment", least=0, below=1),
        Option("b2", 0.999, "decay of Adam's second moment", least=0, below=1),
        Option("eps", 1e-7, "added to the root of Adam's second moment (1e-7 is Keras's)", least=0),
        Option("eps_root", 0.0, "added under that root; above 0 for unrolled", least=0),
        Option(
            "schedule",
            "constant",
            "of the learning rates, to schedule_end times them at decay_steps; staircase: and again at each multiple",
            choices=(*SCHEDULES, "staircase"),
        ),
        Option("decay_steps", None, "steps of the schedule", int, least=1, read_with=_SCHEDULED),
        Option(
            "schedule_end",
            0.0,
            "factor on the learning rates from decay_steps on; 0: the run must end there",
            least=0,
            read_with=_SCHEDULED,
        ),
    ),
    "training": (
        Option("batch_size", 256, "examples in a batch, over all devices", least=1, smoke=8),
        Option("num_steps", 25_000, "updates of the run", least=1, is_free=True, smoke=2),
        Option(
            "steps_per_call",
            None,
            "updates in one call; None: by size",
            int,
            least=1,
            is_free=True,
            smoke=1,
        ),
        Option("ema_decay", 0.999, "decay of the averaged generator", least=0, below=1),
        Option("log_every_steps", 100, "steps between logs", least=1, is_free=True, smoke=1),
        Option("sample_every_steps", 1_000, "steps between pictures; 0: none", least=0, is_free=True, smoke=1),
        Option("checkpoint_every_steps", 1_000, "steps between checkpoints", least=1, is_free=True, smoke=1),
        Option("keep_checkpoints", 2, "newest checkpoints to keep", least=1, is_free=True),
        Option("keep_every_steps", None, "also keep each checkpoint at a multiple of this", int, least=1, is_free=True),
    ),
}
