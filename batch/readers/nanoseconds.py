"""Times finer than a microsecond, Python's own limit: as Python's, with up to 999 `nanoseconds` more, which their text shows."""

from __future__ import annotations

import datetime as dt
import re

_MICROSECONDS = re.compile(r"\.\d{6}")


def _finer(text: str, nanoseconds: int) -> str:
    """`text` with nine digits in the place of six."""
    return _MICROSECONDS.sub(lambda digits: f"{digits[0]}{nanoseconds:03}", text, count=1)


class NanosecondTimestamp(dt.datetime):
    """A datetime with nanoseconds."""

    nanoseconds = 0

    @classmethod
    def of(cls, moment: dt.datetime, nanoseconds: int) -> dt.datetime:
        """Return `moment` itself where there are none."""
        if not nanoseconds:
            return moment
        made = cls.combine(moment.date(), moment.timetz())
        made.nanoseconds = nanoseconds
        return made

    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        """As datetime's, with nine digits."""
        return _finer(super().isoformat(sep, "microseconds"), self.nanoseconds) if timespec == "auto" else super().isoformat(sep, timespec)

    def __str__(self) -> str:
        """As datetime's, with nine digits."""
        return self.isoformat(" ")


class NanosecondTime(dt.time):
    """A time of day with nanoseconds."""

    nanoseconds = 0

    @classmethod
    def of(cls, moment: dt.time, nanoseconds: int) -> dt.time:
        """Return `moment` itself where there are none."""
        if not nanoseconds:
            return moment
        made = cls(moment.hour, moment.minute, moment.second, moment.microsecond)
        made.nanoseconds = nanoseconds
        return made

    def isoformat(self, timespec: str = "auto") -> str:
        """As time's, with nine digits."""
        return _finer(super().isoformat("microseconds"), self.nanoseconds) if timespec == "auto" else super().isoformat(timespec)

    def __str__(self) -> str:
        """As time's, with nine digits."""
        return self.isoformat()


class NanosecondDuration(dt.timedelta):
    """A duration with nanoseconds."""

    nanoseconds = 0

    @classmethod
    def of(cls, duration: dt.timedelta, nanoseconds: int) -> dt.timedelta:
        """Return `duration` itself where there are none."""
        if not nanoseconds:
            return duration
        made = cls(duration.days, duration.seconds, duration.microseconds)
        made.nanoseconds = nanoseconds
        return made

    def __str__(self) -> str:
        """As timedelta's, with nine digits."""
        text = super().__str__()
        return _finer(text if "." in text else f"{text}.000000", self.nanoseconds)
