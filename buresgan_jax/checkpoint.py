"""Checkpoints of the whole training state: orbax, plus a checksum per array that is verified on restoring.

Orbax writes a step atomically, but restores wrong numbers without a word where a byte has flipped on the disk, and its
newest step may be truncated. So each step carries a CRC-32 of every array; a step that cannot be restored exactly is
moved to `bad_checkpoints/` and the one before it is used.
"""

import zlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from buresgan_jax.errors import UserError

PyTree = Any


def checksums(tree: PyTree) -> dict[str, str]:
    """CRC-32 of the bytes, with dtype and shape, of every array by its path in the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): _checksum(np.asarray(leaf)) for path, leaf in leaves}


def _checksum(array):
    return f"{zlib.crc32(np.ascontiguousarray(array).tobytes()):08x} {array.dtype} {array.shape}"


class Checkpointer:
    """The checkpoints of one workdir.

    States are saved as NumPy arrays: process 0 writes, every process reads, and nothing depends on the number of
    devices that a state was saved on.
    """

    def __init__(self, workdir: epath.PathLike, *, keep: int = 2, keep_every_steps: int | None = None):
        """Opens (and creates) `workdir/checkpoints`.

        Args:
            workdir: of the run.
            keep: how many of the newest steps to keep.
            keep_every_steps: keep steps that are multiples of this for ever; None: none.
        """
        self._folder = epath.Path(workdir).resolve() / "checkpoints"
        self._bad_folder = self._folder.parent / "bad_checkpoints"
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, keep_period=keep_every_steps)
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def save(self, step: int, state: PyTree) -> None:
        """Starts to save a state of NumPy arrays; does nothing where the step is there already."""
        if step in self._manager.all_steps():
            return
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), checksums=ocp.args.JsonSave(checksums(state)))
        self._manager.save(step, args=items)

    def latest_step(self) -> int | None:
        """The newest step that is there, good or bad."""
        return self._manager.latest_step()

    def restore(self, like: PyTree) -> PyTree | None:
        """The newest state that can be restored exactly, as NumPy arrays; None where there is no checkpoint at all.

        Args:
            like: a tree with the expected structure, shapes and dtypes.

        Raises:
            UserError: there are checkpoints, but not one good.
        """
        like = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                return self._restore_exactly(step, like)
            except Exception as error:  # orbax raises anything, bare Exception included, on a damaged step
                self._set_aside(step, error)
        if steps:
            raise UserError(
                f"None of the checkpoints in {self._folder} can be restored (steps {', '.join(map(str, steps))}; they are "
                f"in {self._bad_folder} now). Start again in another --workdir, or repair them and move them back."
            )
        return None

    def _restore_exactly(self, step, like):
        items = ocp.args.Composite(state=ocp.args.StandardRestore(like), checksums=ocp.args.JsonRestore())
        restored = self._manager.restore(step, args=items)
        found, expected = checksums(restored.state), restored.checksums
        if jax.tree.structure(restored.state) != jax.tree.structure(like):
            raise ValueError("its arrays are not those of this config")
        wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        if wrong:
            raise ValueError(f"checksum of {wrong[0]} is {found.get(wrong[0])}, expected {expected.get(wrong[0])}")
        return restored.state

    def _set_aside(self, step, error):
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        logging.error("Checkpoint %d is damaged (%s); moving it to %s.", step, reason[:300], self._bad_folder)
        if jax.process_index() == 0:
            target = self._bad_folder / str(step)
            if target.exists():
                target.rmtree()
            self._bad_folder.mkdir(parents=True, exist_ok=True)
            (self._folder / str(step)).rename(target)
        if jax.process_count() > 1:
            jax.experimental.multihost_utils.sync_global_devices(f"bad_checkpoint_{step}")
        self._manager.reload()

    def close(self) -> None:
        """Waits until everything is written."""
        self._manager.wait_until_finished()
        self._manager.close()
