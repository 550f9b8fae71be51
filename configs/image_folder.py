"""A folder of your own pictures, of any format. Not in the BuresGAN paper: its DCGAN family at your size.

    python -m buresgan_jax.main --config=configs/image_folder.py --workdir=runs/mine --config.data.path=FOLDER

Images are cropped to a square in the center and resized to `data.image_size`, such as 28, 48, 96, or any power of two
from 16 on: a number from 7 to 13 doubled a few times. `data.channels=1` is for gray images. Broken files are skipped
with a warning that counts them; with `data.on_broken=error` they are an error.

Measured so far: 600 steps at batch 64 on 50,000 pictures of 32x32 (docs/results/images.md); 0.4 to 0.6 s per step on
two CPU cores, 0.95 s on one.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The paper's DCGAN family. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "image_folder"
    config.training.batch_size = 64
    config.training.num_steps = 100_000
    defaults.use_images(config, image_size=32, channels=3)
    return defaults.finish(config)
