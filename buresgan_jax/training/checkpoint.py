"""Checkpoints of everything a run needs to resume: orbax, plus a checksum per array that is verified on restoring.

Orbax writes a step atomically, but silently restores wrong numbers if a byte has flipped on the disk, and does not
always notice a missing file. So each step has a manifest with a CRC-32 of every array. A step that cannot be restored
exactly is moved to `bad_checkpoints/`, and the step before it is used. So is a step whose folder has the number of
another one.
"""

import contextlib
import glob
import itertools
import json
import os
import re
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from jax.experimental import multihost_utils

from buresgan_jax.errors import UserError
from buresgan_jax.runtime import files

PyTree = Any


class _LocalPath(type(epath.Path("/"))):
    """A local path whose `[`, `]`, `*` and `?` stand for themselves where orbax searches below it by a pattern."""

    def glob(self, pattern):
        return (self / name for name in glob.glob(pattern, root_dir=self))


class Checkpointer:
    """The checkpoints of one workdir.

    Arrays are saved as NumPy arrays: process 0 writes and every process reads. The number of devices may differ between
    saving and restoring.
    """

    def __init__(
        self,
        workdir: epath.PathLike,
        *,
        keep: int | None = None,
        keep_every_steps: int | None = None,
        read_only: bool = False,
        folder: str = "checkpoints",
    ):
        """Opens the checkpoints.

        Args:
            workdir: The run's directory.
            keep: Number of newest steps to keep; None: all.
            keep_every_steps: Steps that are multiples of this are kept permanently; None: no such steps.
            read_only: Whether to create, move and delete nothing, because a training may be running in the workdir.
            folder: The folder of the checkpoints in the workdir.

        Raises:
            UserError: The folder is a file, holds a pipe or link, or has entries that orbax would take for steps.
        """
        self._folder = epath.Path(workdir).resolve() / folder
        if "://" not in str(workdir):
            self._folder = _LocalPath(self._folder)
        self._bad_folder = self._folder.parent / "bad_checkpoints"
        self._read_only = read_only
        options = ocp.CheckpointManagerOptions(create=False)  # orbax's own read_only prints a warning
        if not read_only:
            options = ocp.CheckpointManagerOptions(
                max_to_keep=keep, keep_period=keep_every_steps, cleanup_tmp_directories=True
            )
        _check_entries(self._folder, read_only)
        self._manager = ocp.CheckpointManager(self._folder, options=options)
        # Orbax reads other digits than 0 to 9 too, and would save no step before such a one.
        if not read_only and (others := set(self._manager.all_steps()) - set(self.steps())):
            raise UserError(
                f"{self._folder} has an entry that reads as step {max(others)}, but no run writes such a name. Move it "
                "away, or choose another --workdir."
            )

    def save(self, step: int, items: Mapping[str, PyTree]) -> None:
        """Starts to save named trees of NumPy arrays; does nothing if the step is there already.

        Args:
            step: The step.
            items: The trees by name; the tree `state` has the step as its attribute `step`.
        """
        if step in self._manager.all_steps():
            return
        saved = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
        with _os_errors(self._folder):
            self._manager.save(step, args=ocp.args.Composite(manifest=ocp.args.JsonSave(_manifest(items)), **saved))

    def overwrite(self, step: int, items: Mapping[str, PyTree]) -> None:
        """Deletes this step and later ones, saves the step, and waits until it is written."""
        for old in [old for old in self._manager.all_steps() if old >= step]:
            self._manager.delete(old)
        self.save(step, items)
        with _os_errors(self._folder):
            self._manager.wait_until_finished()

    def keep_only(self, step: int) -> None:
        """Deletes all other steps."""
        for old in [old for old in self._manager.all_steps() if old != step]:
            self._manager.delete(old)

    def latest_step(self) -> int | None:
        """Returns the newest step, even if it is damaged."""
        return max(self.steps(), default=None)

    def restore(self, like: Mapping[str, PyTree]) -> tuple[int, dict[str, PyTree]] | None:
        """Restores the newest step that can be restored exactly.

        Args:
            like: For every requested name a tree with the expected structure, shapes and dtypes.

        Returns:
            The step and its trees; None if there is no checkpoint at all.

        Raises:
            UserError: All checkpoints are damaged, or they hold other arrays than `like`.
        """
        bad = {}
        while steps := set(self.steps()) - bad.keys():
            step = max(steps)
            items, problem = self._try(step, like)
            if not problem:
                self._set_aside(bad, step)
                return step, items
            bad[step] = problem
        if bad:
            reasons = "; ".join(f"step {step}: {problem}" for step, problem in bad.items())
            raise UserError(
                f"None of the checkpoints in {self._folder} can be restored ({reasons}). Nothing was changed. "
                "Bring them back from a copy, or use another --workdir."
            )
        return None

    def restore_step(self, step: int, like: Mapping[str, PyTree]) -> dict[str, PyTree]:
        """Restores one step.

        Args:
            step: The step.
            like: Expected trees, see `restore`.

        Raises:
            UserError: The step is missing or damaged, or holds other arrays than `like`.
        """
        if step not in self.steps():
            known = ", ".join(map(str, self.steps())) or "none"
            raise UserError(f"There is no checkpoint {step} in {self._folder}. Available: {known}.")
        items, problem = self._try(step, like)
        if problem:
            raise UserError(f"Checkpoint {step} in {self._folder} cannot be restored ({problem}). Choose another one.")
        return items

    def close(self) -> None:
        """Waits until everything is written.

        Raises:
            OSError: Something could not be written, such as on a full disk.
        """
        with _os_errors(self._folder):
            self._manager.wait_until_finished()
            self._manager.close()

    def steps(self) -> list[int]:
        """Returns all steps, including damaged ones, in ascending order."""
        # Orbax's own list omits a step if some small files are missing, and orbax could then not save that step.
        if not self._folder.exists():
            return []
        return sorted(int(path.name) for path in self._folder.iterdir() if re.fullmatch("0|[1-9][0-9]*", path.name))

    def _try(self, step, like):
        """Returns `(items, None)`, or `(None, problem)` if any process cannot restore the step."""
        try:
            items, problem = self._restore_exactly(step, like), None
        except UserError:
            raise
        except Exception as error:  # for a damaged step orbax raises any error, even a bare Exception
            items, problem = None, f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
        if jax.process_count() > 1 and not multihost_utils.process_allgather(np.asarray(problem is None)).all():
            items, problem = None, problem or "another process cannot read it"
        return items, problem

    def _restore_exactly(self, step, like):
        expected, like = self._read_manifest(step, like), _zeros(like)
        args = {name: ocp.args.StandardRestore(tree) for name, tree in like.items()}
        restored = self._manager.restore(step, args=ocp.args.Composite(**args))
        items = {name: restored[name] for name in like}
        if jax.tree.structure(items) != jax.tree.structure(like):
            raise ValueError("its trees have another structure")
        found = _checksums(items)
        wrong = next((path for path in found if found[path] != expected[path]), None)
        if wrong is not None:
            raise ValueError(f"the checksum of {wrong} is wrong")
        if (own := int(items["state"].step)) != step:
            raise ValueError(f"it holds step {own}")
        return items

    def _read_manifest(self, step, like):
        """Reads the checksums of all arrays by path, and checks that the requested arrays have the expected shapes."""
        manifest = self._manager.restore(step, args=ocp.args.Composite(manifest=ocp.args.JsonRestore())).manifest
        arrays = manifest["arrays"]
        if manifest["crc32"] != _crc32(json.dumps(arrays, sort_keys=True).encode()):
            raise ValueError("the checksum of its manifest is wrong")
        found = {path: (array["dtype"], array["shape"]) for path, array in arrays.items()}
        wanted = {path: (str(np.dtype(leaf.dtype)), list(leaf.shape)) for path, leaf in _leaves(like).items()}
        roots = tuple(jax.tree_util.keystr((jax.tree_util.DictKey(name),)) for name in like)
        found = {path: array for path, array in found.items() if path.startswith(roots)}
        for path in sorted(found.keys() | wanted.keys()):
            if found.get(path) != wanted.get(path):
                raise UserError(
                    f"Checkpoint {step} in {self._folder} does not fit this config or version of buresgan_jax: "
                    f"{path} is {found.get(path)} there and {wanted.get(path)} here. Use another --workdir."
                )
        return {path: array["crc32"] for path, array in arrays.items()}

    def _set_aside(self, bad, good_step):
        for step, problem in bad.items():
            if self._read_only:
                logging.warning("Checkpoint %d cannot be read (%s).", step, problem)
                continue
            target = self._free_bad_folder(step)
            logging.error("Checkpoint %d is damaged (%s). It is now in %s.", step, problem, target)
            if jax.process_index() == 0:
                self._bad_folder.mkdir(parents=True, exist_ok=True)
                (self._folder / str(step)).rename(target)
        if bad:
            logging.warning("Using checkpoint %d.", good_step)
            _wait_for_all_processes("bad_checkpoints")
            self._manager.reload()

    def _free_bad_folder(self, step):
        names = (f"{step}_{number}" if number else str(step) for number in itertools.count())
        return next(self._bad_folder / name for name in names if not (self._bad_folder / name).exists())


def _check_entries(folder, read_only):
    """Checks that there are only folders and files: orbax would wait for a pipe, and delete what a link leads to."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is no folder. Move it away, or choose another --workdir.")
    for path, folders, names in os.walk(folder) if isinstance(folder, _LocalPath) else ():
        links = [] if read_only else [name for name in folders if os.path.islink(os.path.join(path, name))]
        entries = [os.path.join(path, name) for name in names]
        others = [entry for entry in entries if not files.is_regular(entry) and os.path.lexists(entry)]
        for each in [*links, *map(os.path.basename, others)]:
            problem = f"{path} holds {each!r}, which is a link or pipe"
            raise UserError(f"{problem}. Move it away, or choose another --workdir.")


@contextlib.contextmanager
def _os_errors(folder):
    """Turns tensorstore's errors, ValueErrors that quote all settings, into the OSErrors that they come from."""
    try:
        yield
    except ValueError as error:
        if number := re.search(r"os_error_code='(\d+)'", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(folder)) from error
        raise


def _zeros(like):
    return {name: jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree) for name, tree in like.items()}


def _wait_for_all_processes(name):
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def _manifest(items):
    checksums = _checksums(items)
    arrays = {
        path: {"crc32": checksums[path], "dtype": str(leaf.dtype), "shape": list(leaf.shape)}
        for path, leaf in _leaves(items).items()
    }
    return {"arrays": arrays, "crc32": _crc32(json.dumps(arrays, sort_keys=True).encode())}


def _checksums(tree):
    """Computes the CRC-32 of every array by its path in the tree."""
    return {path: _crc32(np.ascontiguousarray(leaf).tobytes()) for path, leaf in _leaves(tree).items()}


def _leaves(tree):
    leaves = jax.tree_util.tree_leaves_with_path(dict(tree))
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _crc32(data):
    return f"{zlib.crc32(data):08x}"
