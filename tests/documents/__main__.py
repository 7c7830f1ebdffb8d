"""`python -m tests.documents`: write the made pages of docs/."""

from __future__ import annotations

from tests.documents import MADE, ROOT

for name, page in MADE.items():
    (ROOT / name).write_text(page(), encoding="utf-8")
    print(name)
