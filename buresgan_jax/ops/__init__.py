"""Operations that have forms of their own for a CPU, one function per operation.

Each function takes `implementation`:

- `"auto"`: a CPU gets its own form, and every other platform the plain one. The platform is the one that a program is
  compiled for. The default backend has no part in it.
- `"plain"`: JAX's own operation, on every platform.
- `"cpu"`: the form that a CPU gets, on every platform.

Some functions have names for single forms of a CPU too. Such a name raises `ValueError` where its form does not exist.
"""

from buresgan_jax.ops.convolution import Padding as Padding
from buresgan_jax.ops.convolution import conv2d as conv2d
from buresgan_jax.ops.convolution import conv_transpose2d as conv_transpose2d
from buresgan_jax.ops.random import normal as normal
from buresgan_jax.ops.random import normal_rows as normal_rows
from buresgan_jax.ops.random import own_rows as own_rows
from buresgan_jax.ops.random import uniform as uniform
from buresgan_jax.ops.rows import repeat_row as repeat_row
from buresgan_jax.ops.rows import sum_rows as sum_rows
from buresgan_jax.ops.spectral import exact_spectral_norm as exact_spectral_norm
from buresgan_jax.ops.spectral import on_smaller_side as on_smaller_side
from buresgan_jax.ops.spectral import power_iteration as power_iteration
from buresgan_jax.ops.spectral import spectral_norm as spectral_norm
from buresgan_jax.ops.spectral import transpose as transpose
