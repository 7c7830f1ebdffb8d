"""Files as the rest of promptmill sees them: inputs found and opened unpacked, whole files put in place of others.

Paths are local, or addresses of object stores (urls.py). Arrow is loaded when the first address is met.
"""

from __future__ import annotations

from batch.storage.finding import MOVED, expand, identity
from batch.storage.local import open_regular, replace_atomically, scratch_folder, sync_directory
from batch.storage.mirror import Mirror, downloaded, named, uploading, when_merged
from batch.storage.opening import file_name, head, local_size, mapped, open_input, seekable
from batch.storage.urls import is_url

__all__ = [
    "MOVED",
    "Mirror",
    "downloaded",
    "expand",
    "file_name",
    "head",
    "identity",
    "is_url",
    "local_size",
    "mapped",
    "named",
    "open_input",
    "open_regular",
    "replace_atomically",
    "scratch_folder",
    "seekable",
    "sync_directory",
    "uploading",
    "when_merged",
]
