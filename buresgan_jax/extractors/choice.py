"""The extractors that a config or a flag can name."""

from buresgan_jax import declarations
from buresgan_jax.errors import choose, user_error
from buresgan_jax.extractors.extractor import Extractor
from buresgan_jax.extractors.inception import inception_v3
from buresgan_jax.extractors.mobilenet import mobilenet_v2
from buresgan_jax.extractors.pixels import pixels
from buresgan_jax.extractors.vgg import vgg16

_DECLARED = (
    declarations.extractor("pixels", "mean intensities of 8 x 8 fields; needs no weights")(pixels),
    declarations.extractor("inception_v3", "the network of FID, KID and the inception score")(inception_v3),
    declarations.extractor("mobilenet_v2", "MobileNet-v2 trained on ImageNet, with class logits")(mobilenet_v2),
    declarations.extractor("vgg16", "VGG16 trained on ImageNet, without logits")(vgg16),
)
EXTRACTORS: dict[str, declarations.Component] = {component.name: component for component in _DECLARED}


def named_extractor(name: str, weights: str | None = None, resizer: str | None = None) -> Extractor:
    """Builds an extractor by its name.

    Args:
        name: A key of `EXTRACTORS`.
        weights: Weights file of the extractor. Default: the extractor's own.
        resizer: Name of the resizer of images. Default: the extractor's own.

    Raises:
        UserError: The name is unknown, or the extractor rejects the weights or the resizer.
    """
    component = choose("extractor", name, EXTRACTORS, "the extractor")
    given = {"weights": weights, "resizer": resizer}
    return user_error(component)(**{key: value for key, value in given.items() if value is not None})
