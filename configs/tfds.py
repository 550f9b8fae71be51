"""Any image set of TensorFlow Datasets. Not in the BuresGAN paper: its DCGAN family at your size.

    python -m buresgan_jax.main --config=configs/tfds.py --workdir=runs/flowers --config.data.base=oxford_flowers102

The set is prepared once by `python -m buresgan_jax.prepare oxford_flowers102`; names such as `emnist/letters` choose a
builder's config. A set of your own needs no entry in TFDS: one that lies prepared in `--config.data.data_dir` is found.
Pictures are the feature `image`, or the only one that holds some, of 8 or 16 bits, stored as PNG or JPEG. Few sets need
TensorFlow, or another package, for reading too; a line says so.

Pictures are cropped to a centerd square and resized to `data.image_size` (such as 28, 32, 48, 64, 96, 128: a start of 7
to 13 doubled a few times); `data.channels=1` for gray, `data.split=train+test` for more of them.

Tried with `--config.data.base=fashion_mnist` for some steps; no full run has been made.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The paper's DCGAN family; the argument is a method (see buresgan_jax/config.py), `smoke`, or both."""
    config = defaults.default(argument)
    config.data.name = "tfds"
    config.data.base = "oxford_flowers102"
    defaults.use_images(config, image_size=64, channels=3)
    config.training.batch_size = 64
    config.training.num_steps = 100_000
    return defaults.finish(config)
