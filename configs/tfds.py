"""Any image set of TensorFlow Datasets. Not in the BuresGAN paper: its DCGAN family at your size.

    python -m buresgan_jax.main --config=configs/tfds.py --workdir=runs/flowers --config.data.base=oxford_flowers102

The set is prepared once by `python -m buresgan_jax.prepare oxford_flowers102`; names such as `emnist/letters` choose a
builder's config. A set of your own needs no entry in TFDS: a prepared one is found in `--config.data.data_dir`.
Pictures are the feature `image`, or the only feature that holds pictures, of 8 or 16 bits, stored as PNG or JPEG. A few
sets need TensorFlow or another package for reading too; an error of one line says so.

Pictures are cropped to a square in the center and resized to `data.image_size` (such as 28, 32, 48, 64, 96, 128: a
number from 7 to 13 doubled a few times). `data.channels=1` is for gray images, and `data.split=train+test` takes more
of them.

Tried with `--config.data.base=fashion_mnist` for some steps; no full run has been made.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The paper's DCGAN family. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "tfds"
    config.data.base = "oxford_flowers102"
    config.training.batch_size = 64
    config.training.num_steps = 100_000
    defaults.use_images(config, image_size=64, channels=3)
    return defaults.finish(config)
