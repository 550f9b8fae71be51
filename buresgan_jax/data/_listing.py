"""The pictures below a folder, in an order that every machine sees, and what is left out."""

import collections
import os
from collections.abc import Iterator, Sequence, Sized
from typing import NamedTuple

from etils import epath

from buresgan_jax.data import _pixels
from buresgan_jax.errors import UserError

_NUM_NAMED = 3  # of each kind, in a message


class Listing(NamedTuple):
    """Pictures of a folder.

    Attributes:
        root: The folder.
        pictures: Their paths, compared part by part below the root.
        others: Files that are no pictures, by their names.
        unreadable: Folders that cannot be read, each with the reason.
        repeated: Links to folders that are read already, under another name.
    """

    root: epath.Path
    pictures: list[epath.Path]
    others: list[str]
    unreadable: list[str]
    repeated: list[str]

    def left_out(self) -> list[str]:
        """Says what is left out, kind by kind."""
        kinds = {os.path.splitext(name)[1] or name for name in self.others}
        parts = (
            ("file of another kind", "files of other kinds", self.others, sorted(kinds)),
            ("folder that cannot be read", "folders that cannot be read", self.unreadable, self.unreadable),
            ("link to a folder that is read already", "links to folders that are read already", *(self.repeated,) * 2),
        )
        return [f"{count(found, one, many)} ({some(named)})" for one, many, found, named in parts if found]

    def formats(self, positions: Sequence[int]) -> str:
        """Counts the formats of some pictures, such as `60 PNG, 30 WEBP`."""
        known = _pixels.format_of_suffix()
        counts = collections.Counter(known[self.pictures[position].suffix.lower()] for position in positions)
        return ", ".join(f"{number} {name}" for name, number in counts.most_common())


def list_pictures(root: epath.Path, *, recursive: bool) -> Listing:
    """Finds the pictures of a folder, by the suffixes of their names.

    Hidden files and folders are ignored. Links to folders are followed, and each folder is read once.

    Args:
        root: The folder, local or `gs://`.
        recursive: Whether to read subfolders too.

    Raises:
        UserError: It does not exist, is a file, cannot be read, or has no pictures.
    """
    if not root.exists():
        raise UserError(f"Folder {str(root)!r} does not exist. Give the path of a folder of pictures.")
    if not root.is_dir():
        raise UserError(f"{str(root)!r} is a file. Give the path of a folder of pictures.")
    listing = Listing(root, [], [], [], [])
    walk = _walk_remote if "://" in str(root) else _walk_local
    found, known = [], _pixels.format_of_suffix()
    for parts in walk(listing, recursive):
        if os.path.splitext(parts[-1])[1].lower() in known:
            found.append(parts)
        else:
            listing.others.append(parts[-1])
    listing.pictures.extend(root.joinpath(*parts) for parts in sorted(found))
    if not found:
        where = "it or its subfolders" if recursive else "it (subfolders are not read: recursive is off)"
        reasons = f" Left out: {', '.join(listing.left_out())}." if listing.left_out() else ""
        raise UserError(f"Folder {str(root)!r} has no pictures in {where}.{reasons} Choose another folder.")
    return listing


def _walk_local(listing: Listing, recursive: bool) -> Iterator[tuple[str, ...]]:
    """Yields the parts of the paths of all files below the root; links to folders come after all else."""
    folders, links, seen = [()], collections.deque(), set()
    while folders or links:
        parts = folders.pop() if folders else links.popleft()
        path = os.path.join(listing.root, *parts)
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen:
                listing.repeated.append("/".join(parts))
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            if not parts:
                raise UserError(f"Folder {path!r} cannot be read: {error.strerror}. Fix its permissions.") from error
            listing.unreadable.append(f"{'/'.join(parts)}: {error.strerror}")
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            kind = _kind(entry)
            if kind == "folder":
                if recursive:
                    (links if entry.is_symlink() else folders).append((*parts, entry.name))
            elif kind == "file":
                yield (*parts, entry.name)
            else:
                listing.others.append(entry.name)  # such as a pipe, whose reader would wait


def _kind(entry: os.DirEntry) -> str:
    """Returns `folder`, `file` or `other`. A link that leads nowhere or to itself is a file: opening it tells that."""
    try:
        if entry.is_dir():
            return "folder"
        is_dangling = entry.is_symlink() and not os.path.exists(entry.path)
        return "file" if entry.is_file() or is_dangling else "other"
    except OSError:  # a loop of links, or one into a folder without permission
        return "file"


def _walk_remote(listing: Listing, recursive: bool) -> Iterator[tuple[str, ...]]:
    for folder, subfolders, names in listing.root.walk():
        parts = folder.relative_to(listing.root).parts
        if not any(part.startswith(".") for part in parts):
            yield from ((*parts, name) for name in names if not name.startswith("."))
        if not recursive and subfolders:
            break  # the root comes first


def count(found: Sized, one: str, many: str) -> str:
    """Counts things in words, such as `1 file` or `2 files`."""
    return f"{len(found)} {one if len(found) == 1 else many}"


def some(names: Sequence[str]) -> str:
    """Names a few, with dots where there are more."""
    return ", ".join([*names[:_NUM_NAMED], *["..."] * (len(names) > _NUM_NAMED)])
