"""The failures of a run that its user has accepted as final: `accepted.json`, the hashes of their tasks by the variant's folder name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from batch.errors import RunDirectoryError
from batch.journal.disk import open_to_read, storage_errors
from batch.rundir.local import RunDirectory
from batch.storage import replace_atomically

NAME = "accepted.json"


def read_accepted(directory: RunDirectory) -> dict[str, list[int]]:
    """Read the accepted tasks of each variant; empty where none were. Raises RunDirectoryError for a damaged file, StorageError."""
    directory.fetch(NAME)
    path = directory.path / NAME
    with storage_errors(path):
        if not path.exists():
            return {}
        with open_to_read(path) as file:
            text = file.read()
    try:
        return {str(slug): [int(task, 16) for task in tasks] for slug, tasks in orjson.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise RunDirectoryError(f"{path}: is damaged ({error}); delete it, and accept the failures again") from error


def write_accepted(directory: RunDirectory, accepted: Mapping[str, Sequence[int]]) -> None:
    """Replace the accepted tasks; hold the run directory's lock. Raises StorageError."""
    directory.check_lock()
    path = directory.path / NAME
    document = {slug: [f"{task:016x}" for task in tasks] for slug, tasks in accepted.items()}
    with replace_atomically(path) as file:
        file.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
    directory.publish(path)
