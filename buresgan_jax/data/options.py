"""Options that several data sets share. Equal names have equal declarations: a config has one key for each."""

from buresgan_jax.declarations import Option

NUM_EXAMPLES = Option(
    "num_examples",
    None,
    "number of points (None: an endless stream) or of stacked images (None: 128,000)",
    kind=int,
    least=1,
)
BASE = Option("base", "mnist", "TFDS data set to train on, or whose gray images are stacked")
SPLIT = Option("split", "train", "split of a TFDS data set")
DATA_DIR = Option("data_dir", None, "folder of prepared TFDS data sets; None: TFDS's default", kind=str, is_free=True)
IMAGE_SIZE = Option("image_size", None, "height and width of the images in pixels", kind=int, least=1)
CHANNELS = Option("channels", 3, "1 for gray images, 3 for color", choices=(1, 3))
CROP = Option("crop", "center", "before resizing: center (cut a square), none (stretch), or pixels to cut, such as 108")
FLIP = Option("flip", False, "mirror each image left to right with probability 1/2, anew in every step")

# Belongs to the config's group of every data set; training reads it, data sets do not.
RESIDENT = Option(
    "resident", None, "keep the whole data set on every device; None: if it is small enough", kind=bool, is_free=True
)
