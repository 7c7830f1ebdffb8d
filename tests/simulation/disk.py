"""A disk under the journal that knows what the power would take, refuses on demand, and dies with its process.

Files are real (readers open them by path), but what a sync covers is modelled: a sync makes durable what was written when it began.
"""

from __future__ import annotations

import errno
import os
import shutil
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from batch.journal.disk import Disk
from tests.simulation.world import World


@dataclass
class File:
    """`size` bytes were written, the first `synced` survive a loss of power; `named` tells whether its name does.

    `ghost` is what a truncation that is not synced yet has cut off: it may come back. `ends` are the ends of its lines.
    """

    path: Path
    size: int
    synced: int
    named: bool
    ghost: bytes = b""
    ends: list[int] = field(default_factory=list)


@dataclass
class Trouble:
    """What goes wrong in one session: the number of the call from which (writes, opens) or at which (sync) it does."""

    write: int | None = None
    sync: int | None = None
    open: int | None = None
    code: int = errno.ENOSPC
    truncates: bool = True
    short: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def comes(self) -> bool:
        """Whether anything is refused at all."""
        return any(at is not None for at in (self.write, self.sync, self.open))

    def strikes(self, call: str) -> bool:
        """Count a call; whether it fails."""
        number = self.counts[call] = self.counts.get(call, 0) + 1
        at = getattr(self, call)
        return at is not None and (number == at if call == "sync" else number >= at)


class SimDisk(Disk):
    """One machine's disk, over all its processes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._open: dict[int, File] = {}
        self._nameless: set[Path] = set()
        self.files: dict[Path, File] = {}
        self.trouble = Trouble()

    # What the journal calls

    def open(self, path: Path) -> int:
        self._world.tick(f"open {_short(path)}")
        if self._world.dead:
            return -2
        if self.trouble.strikes("open") and not path.exists():
            raise self._refusal()
        is_new = not path.exists()
        descriptor = super().open(path)
        if is_new or path not in self.files:
            size = path.stat().st_size
            self.files[path] = File(path, size, size, named=not is_new)
        if is_new or self.files[path].ends[-1:] != [self.files[path].size]:
            self.files[path].ends = _line_ends(path)
        self._open[descriptor] = self.files[path]
        return descriptor

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        last = self._world.is_crash(f"write {len(data)}")
        if self._world.dead:
            return len(data)
        if last:
            self._write(descriptor, data[: self._world.chance.randrange(len(data) + 1)])
            self._world.die()
            return len(data)
        if self.trouble.strikes("write"):
            if self.trouble.counts["write"] == self.trouble.write:
                self._write(descriptor, data[: self._world.chance.randrange(len(data))])
            raise self._refusal()
        if self.trouble.short and self._world.chance.random() < self.trouble.short:
            data = data[: self._world.chance.randrange(1, len(data) + 1)]
        self._write(descriptor, data)
        return len(data)

    def is_at(self, descriptor: int, path: Path) -> bool:
        return self._world.dead or super().is_at(descriptor, path)

    def sync(self, descriptor: int) -> None:
        self.end_sync(self.begin_sync(descriptor))

    def begin_sync(self, descriptor: int) -> tuple[File, int] | None:
        """A sync is asked for: what is written now will be durable when it ends."""
        self._world.tick("sync begins")
        if self._world.dead:
            return None
        file = self._open[descriptor]
        return file, file.size

    def end_sync(self, begun: tuple[File, int] | None) -> None:
        """The sync has ended."""
        self._world.tick("sync ends")
        if self._world.dead or begun is None:
            return
        if self.trouble.strikes("sync"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        file, size = begun
        file.synced = max(file.synced, min(size, file.size))
        file.ghost = b""

    def truncate(self, descriptor: int, size: int) -> None:
        self._world.tick(f"truncate to {size}")
        if self._world.dead:
            return
        if not self.trouble.truncates:
            raise self._refusal()
        file = self._open[descriptor]
        if size < file.synced:
            with file.path.open("rb") as stream:
                stream.seek(size)
                file.ghost = stream.read(file.synced - size)
        super().truncate(descriptor, size)
        file.size, file.synced = size, min(size, file.synced)
        file.ends = _line_ends(file.path)

    def close(self, descriptor: int) -> None:
        if self._open.pop(descriptor, None) is not None:
            super().close(descriptor)

    def make_directory(self, path: Path) -> None:
        self._world.tick(f"make {path.name}")
        if self._world.dead:
            return
        new = [folder for folder in (path, *path.parents) if not folder.is_dir()]
        self._nameless.update(new)
        super().make_directory(path)

    def sync_directory(self, path: Path) -> None:
        self._world.tick(f"sync directory {path.name}")
        if self._world.dead:
            return
        for file in self.files.values():
            file.named = file.named or file.path.parent == path
        self._nameless = {folder for folder in self._nameless if folder.parent != path}
        self._world.tick("directory synced")

    # What befalls it

    def power_loss(self) -> None:
        """Everything that was not synced is kept, torn, or lost, each file for itself."""
        chance = self._world.chance
        for folder in sorted(self._nameless):
            if folder.exists() and chance.random() < 0.5:
                shutil.rmtree(folder)
        self._nameless.clear()
        for file in self.files.values():
            if not file.path.exists():
                continue
            if not file.named and chance.random() < 0.5:
                file.path.unlink()
                continue
            self._tear(file)
        self.files = {path: file for path, file in self.files.items() if path.exists()}

    def end_process(self) -> None:
        """The system takes the descriptors back."""
        for descriptor in list(self._open):
            self.close(descriptor)

    def durable_records(self, folder: str) -> int:
        """How many lines in the files of `folder` a loss of power would leave."""
        return sum(bisect_right(file.ends, file.synced) for path, file in self.files.items() if path.parent.name == folder and file.named)

    @property
    def unsynced(self) -> int:
        """Bytes that a loss of power could take."""
        return sum(file.size - file.synced for file in self.files.values())

    def _tear(self, file: File) -> None:
        chance = self._world.chance
        keep = chance.choice((file.synced, file.size, chance.randint(file.synced, file.size)))
        end = keep
        if file.ghost and file.size == file.synced and chance.random() < 0.5:
            with file.path.open("ab") as stream:
                stream.write(file.ghost)
            end = file.size + len(file.ghost)
        else:
            os.truncate(file.path, keep)
            if keep < file.size and chance.random() < 0.3:
                # The size reached the disk before the data did.
                end = file.size
                os.truncate(file.path, end)
        self._world.log(f"power: {_short(file.path)} keeps {keep} of {file.size} ({file.synced} synced), ends at {end}")
        file.size = file.synced = end
        file.named, file.ghost = True, b""

    def _write(self, descriptor: int, data: bytes | memoryview) -> None:
        super().write(descriptor, data)
        file = self._open[descriptor]
        # One write may have several records: a collected batch's.
        ends = accumulate((len(line) + 1 for line in bytes(data).split(b"\n")[:-1]), initial=file.size)
        file.ends += list(ends)[1:]
        file.size += len(data)

    def _refusal(self) -> OSError:
        return OSError(self.trouble.code, os.strerror(self.trouble.code))


class OpenedFiles:
    """The disk as another process sees it, which syncs what the sending one has written: a file is known by its descriptor alone."""

    def __init__(self, disk: SimDisk) -> None:
        self._disk = disk

    def sync(self, descriptor: int) -> None:
        """Make durable what is in the file now."""
        file = self._disk.files.get(Path(f"/proc/self/fd/{descriptor}").readlink())
        if file is not None:
            file.synced, file.ghost = max(file.synced, file.size), b""


def _line_ends(path: Path) -> list[int]:
    return list(accumulate(len(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")))


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
