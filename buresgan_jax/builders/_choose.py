"""`choose` and `user_error` of `errors`, for the builders."""

from buresgan_jax.errors import choose as choose
from buresgan_jax.errors import user_error as user_error
