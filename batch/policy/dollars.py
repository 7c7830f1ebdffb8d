"""Formats US dollars. Apart from pricing, which takes 13 ms to import: every command that shows a cost needs this alone."""

from __future__ import annotations

import math


def usd(amount: float) -> str:
    """Format US dollars: cents from one dollar on, four decimals below, and as many as two digits need of what is smaller still."""
    if amount >= 1:
        return f"${amount:,.2f}"
    return f"${amount:.{4 if amount <= 0 else max(4, 1 - math.floor(math.log10(amount)))}f}"
