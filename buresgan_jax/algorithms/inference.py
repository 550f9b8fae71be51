"""Networks that stay in inference mode, where a reference implementation trains without batch statistics."""

from typing import Any, NamedTuple

from flax import linen as nn


class InferenceOnly(NamedTuple):
    """Applies a module in inference mode, whatever it is asked for: batch norm uses and keeps its moving statistics."""

    module: nn.Module

    def apply(self, variables: Any, inputs: Any, *, train: bool, **options: Any) -> Any:
        """Applies the module with `train=False`."""
        del train
        return self.module.apply(variables, inputs, train=False, **options)
