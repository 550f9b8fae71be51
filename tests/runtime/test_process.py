"""What programs keep libraries from printing; a full disk is in tests/training/test_checkpoint.py."""

import sys
import warnings

import pytest

from buresgan_jax.runtime import process


def test_warnings_of_pillow_are_not_shown_and_others_are(monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    process.quiet_libraries.__wrapped__()
    warnings.warn_explicit("Corrupt EXIF data.", UserWarning, "TiffImagePlugin.py", 1, module="PIL.TiffImagePlugin")
    with pytest.warns(UserWarning, match="another"):
        warnings.warn_explicit("another", UserWarning, "x.py", 1, module="PILOT")
