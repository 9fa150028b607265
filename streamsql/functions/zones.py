"""Time zones by Java's ids, and their offsets for whole vectors of instants or local times.

Ids are those of java.time.ZoneId: regions (Europe/Paris), offsets (Z, +2, +02:00, +0200, +02:00:30) and
offsets after UTC, GMT or UT (GMT+1). A local time in a gap moves forward by the gap, one that happens
twice is the earlier one, as in ZonedDateTime.ofLocal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import numpy.typing as npt

from streamsql.errors import PlanError

Microseconds = npt.NDArray[np.int64]

_EPOCH = datetime(1970, 1, 1)
_SECOND = 1_000_000
# Changes of offset are tabulated for these years; no region has two of them within five days.
_FIRST_YEAR, _LAST_YEAR, _PROBE_DAYS = 1900, 2100, 5
_FEW = 64
_OFFSET = re.compile(r"([+-])(\d{1,2})(?::?(\d\d)(?::?(\d\d))?)?", re.ASCII)
_PREFIXES = ("UTC", "GMT", "UT")
# Kept in zoneinfo for old systems' sake; java.time knows them as names only.
_NO_REGIONS = frozenset({"EST", "MST", "HST", "ROC", "localtime", "posixrules", "Factory"})


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone.

    id       as it prints
    offset   seconds east of UTC, or None for a region, whose offset changes
    """

    id: str
    offset: int | None
    region: tzinfo | None = None

    def offsets_at(self, instants: Microseconds) -> Microseconds:
        """The offset at each instant; int64[n] us since the epoch -> int64[n] us."""
        return self._offsets(instants, local=False)

    def offsets_of_local(self, times: Microseconds) -> Microseconds:
        """The offset of each local time; int64[n] us -> int64[n] us."""
        return self._offsets(times, local=True)

    def _offsets(self, times: Microseconds, local: bool) -> Microseconds:
        if self.offset is not None:
            return np.full(len(times), self.offset * _SECOND, np.int64)
        if len(times) <= _FEW:
            return np.array([self.offset_at(time, local) for time in times.tolist()], np.int64)
        table = _changes(self.id)
        starts = table.local_starts if local else table.starts
        offsets = table.offsets[np.searchsorted(starts, times, side="right")]
        outside = np.flatnonzero((times < table.start) | (times >= table.end))
        # Rows centuries away are worth a loop, not a longer table.
        for row in outside.tolist():
            offsets[row] = self.offset_at(int(times[row]), local)
        return offsets

    def offset_at(self, microseconds: int, local: bool) -> int:
        """The offset in us at one instant, or of one local time."""
        if self.offset is not None:
            return self.offset * _SECOND
        assert self.region is not None
        # Years outside datetime's range take the offset of its ends.
        clamped = min(max(microseconds, -62_135_424_000_000_000), 253_402_128_000_000_000)
        moment = _EPOCH + timedelta(microseconds=clamped)
        if not local:
            moment = moment.replace(tzinfo=UTC).astimezone(self.region)
        offset = self.region.utcoffset(moment)
        assert offset is not None
        return offset // timedelta(microseconds=1)

    def name_at(self, microseconds: int) -> str:
        """The short English name at an instant: CET, PDT; a fixed offset is its id."""
        if self.region is None:
            return self.id
        moment = (_EPOCH + timedelta(microseconds=microseconds)).replace(tzinfo=UTC)
        name = moment.astimezone(self.region).tzname() or self.id
        return name if name[0].isalpha() else self.id


@dataclass(frozen=True, slots=True)
class _Changes:
    """When a region changes its offset; all in us.

    starts        int64[n], instants
    local_starts  int64[n], the first local time that has the new offset: what lies in a gap has the old
                  one still, what happens twice has it the first time
    offsets       int64[n + 1], before the first change and after each one
    start, end    the range that the table knows
    """

    starts: Microseconds
    local_starts: Microseconds
    offsets: Microseconds
    start: int
    end: int


@lru_cache(maxsize=256)
def _changes(region: str) -> _Changes:
    """The table of a region, found by asking for the offset every few days and halving in between.

    cost  some 60 ms, once per region
    """
    zone = zone_of(region)
    start = (datetime(_FIRST_YEAR, 1, 1) - _EPOCH) // timedelta(seconds=1)
    end = (datetime(_LAST_YEAR, 1, 1) - _EPOCH) // timedelta(seconds=1)

    def offset(second: int) -> int:
        return zone.offset_at(second * _SECOND, local=False)

    starts: list[int] = []
    offsets = [offset(start)]
    low, step = start, _PROBE_DAYS * 86_400
    while low < end:
        high = min(low + step, end)
        after = offset(high)
        if after != offsets[-1]:
            starts.append(_last_change(low, high, offset))
            offsets.append(after)
        low = high
    changed = np.array(starts, np.int64) * _SECOND
    by_change = np.array(offsets, np.int64)
    local = changed + np.maximum(by_change[:-1], by_change[1:])
    # A day less at both ends, so that local times are inside too.
    return _Changes(changed, local, by_change, (start + 86_400) * _SECOND, (end - 86_400) * _SECOND)


def _last_change(low: int, high: int, offset: Callable[[int], int]) -> int:
    """The first second with the offset of `high`, given that `low` has another."""
    new = offset(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if offset(middle) == new else (middle, high)
    return high


@lru_cache(maxsize=1024)
def zone_of(text: str) -> Zone:
    """The zone of an id.

    >>> zone_of("GMT+1").offset, zone_of("+0200").id
    (3600, '+02:00')

    raises  PlanError (PLAN-TIME-ZONE) if there is no such zone
    """
    zone = find_zone(text)
    if zone is None:
        raise PlanError(
            f"there is no time zone {text!r}",
            code="PLAN-TIME-ZONE",
            hint="a zone is a region such as Europe/Paris, or an offset such as +02:00",
        )
    return zone


@lru_cache(maxsize=4096)
def find_zone(text: str) -> Zone | None:
    """The zone of an id, or None."""
    if text in ("Z", *_PREFIXES):
        return Zone(text, 0)
    prefix = next((p for p in _PREFIXES if text.startswith(p)), "")
    match = _OFFSET.fullmatch(text[len(prefix) :])
    if match:
        hours, minutes, seconds = (int(part or 0) for part in match.group(2, 3, 4))
        total = hours * 3600 + minutes * 60 + seconds
        if minutes > 59 or seconds > 59 or total > 18 * 3600:
            return None
        if match[1] == "-":
            total = -total
        offset = offset_text(total, seconds="may", zero="" if prefix else "Z")
        return Zone(prefix + offset, total)
    if text in _NO_REGIONS or text not in _regions():
        return None
    return Zone(text, None, ZoneInfo(text))


@lru_cache(maxsize=1)
def _regions() -> frozenset[str]:
    return frozenset(available_timezones())


@lru_cache(maxsize=1)
def region_names() -> tuple[str, ...]:
    """All regions, sorted."""
    return tuple(sorted(_regions() - _NO_REGIONS))


def offset_text(
    seconds_east: int,
    minutes: str = "must",
    seconds: str = "no",
    colons: bool = True,
    zero: str | None = None,
) -> str:
    """An offset in digits: +02:00; `minutes` and `seconds` are written always (must), if not 0 (may), or no.

    zero  what stands for an offset of 0, or None for digits
    """
    if seconds_east == 0 and zero is not None:
        return zero
    total = abs(seconds_east)
    colon = ":" if colons else ""
    text = f"{'-' if seconds_east < 0 else '+'}{total // 3600:02}"
    if minutes == "must" or total % 3600:
        text += f"{colon}{total // 60 % 60:02}"
    if seconds == "must" or (seconds == "may" and total % 60):
        text += f"{colon}{total % 60:02}"
    return text


# Names that dates are written with, and the regions java.time reads them as.
NAMES = {
    **dict.fromkeys(
        ("EST", "EDT", "ET", "Eastern Standard Time", "Eastern Daylight Time"), "America/New_York"
    ),
    **dict.fromkeys(
        ("CST", "CDT", "CT", "Central Standard Time", "Central Daylight Time"), "America/Chicago"
    ),
    **dict.fromkeys(
        ("MST", "MDT", "MT", "Mountain Standard Time", "Mountain Daylight Time"), "America/Denver"
    ),
    **dict.fromkeys(
        ("PST", "PDT", "PT", "Pacific Standard Time", "Pacific Daylight Time"), "America/Los_Angeles"
    ),
    **dict.fromkeys(("AKST", "AKDT", "Alaska Standard Time", "Alaska Daylight Time"), "America/Anchorage"),
    **dict.fromkeys(("HST", "Hawaii-Aleutian Standard Time"), "Pacific/Honolulu"),
    **dict.fromkeys(("AST", "ADT", "Atlantic Standard Time", "Atlantic Daylight Time"), "America/Halifax"),
    **dict.fromkeys(("BRT", "Brasilia Standard Time"), "America/Sao_Paulo"),
    **dict.fromkeys(("GMT", "Greenwich Mean Time"), "GMT"),
    **dict.fromkeys(("UTC", "Coordinated Universal Time"), "UTC"),
    **dict.fromkeys(("BST", "British Summer Time"), "Europe/London"),
    **dict.fromkeys(("WET", "WEST", "Western European Standard Time"), "Europe/Lisbon"),
    **dict.fromkeys(("Western European Summer Time",), "Europe/Lisbon"),
    **dict.fromkeys(("CET", "CEST", "Central European Standard Time"), "Europe/Paris"),
    **dict.fromkeys(("Central European Summer Time",), "Europe/Paris"),
    **dict.fromkeys(("EET", "EEST", "Eastern European Standard Time"), "Europe/Bucharest"),
    **dict.fromkeys(("Eastern European Summer Time",), "Europe/Bucharest"),
    **dict.fromkeys(("MSK", "Moscow Standard Time"), "Europe/Moscow"),
    **dict.fromkeys(("SAST", "South Africa Standard Time"), "Africa/Johannesburg"),
    **dict.fromkeys(("EAT", "East Africa Time"), "Africa/Nairobi"),
    **dict.fromkeys(("IST", "India Standard Time"), "Asia/Kolkata"),
    **dict.fromkeys(("JST", "Japan Standard Time"), "Asia/Tokyo"),
    **dict.fromkeys(("KST", "Korean Standard Time"), "Asia/Seoul"),
    **dict.fromkeys(("HKT", "Hong Kong Standard Time"), "Asia/Hong_Kong"),
    **dict.fromkeys(("SGT", "Singapore Standard Time"), "Asia/Singapore"),
    **dict.fromkeys(("AEST", "AEDT", "Australian Eastern Standard Time"), "Australia/Sydney"),
    **dict.fromkeys(("Australian Eastern Daylight Time",), "Australia/Sydney"),
    **dict.fromkeys(("ACST", "ACDT"), "Australia/Adelaide"),
    **dict.fromkeys(("AWST", "Australian Western Standard Time"), "Australia/Perth"),
    **dict.fromkeys(("NZST", "NZDT", "New Zealand Standard Time"), "Pacific/Auckland"),
    **dict.fromkeys(("New Zealand Daylight Time",), "Pacific/Auckland"),
}

FULL_NAMES = {
    **{"GMT": "Greenwich Mean Time", "UTC": "Coordinated Universal Time", "BST": "British Summer Time"},
    **{"EST": "Eastern Standard Time", "EDT": "Eastern Daylight Time"},
    **{"CST": "Central Standard Time", "CDT": "Central Daylight Time"},
    **{"MST": "Mountain Standard Time", "MDT": "Mountain Daylight Time"},
    **{"PST": "Pacific Standard Time", "PDT": "Pacific Daylight Time"},
    **{"AKST": "Alaska Standard Time", "AKDT": "Alaska Daylight Time"},
    **{"WET": "Western European Standard Time", "WEST": "Western European Summer Time"},
    **{"CET": "Central European Standard Time", "CEST": "Central European Summer Time"},
    **{"EET": "Eastern European Standard Time", "EEST": "Eastern European Summer Time"},
    **{"MSK": "Moscow Standard Time", "SAST": "South Africa Standard Time", "EAT": "East Africa Time"},
    **{"JST": "Japan Standard Time", "KST": "Korean Standard Time"},
    **{"HKT": "Hong Kong Standard Time"},
    **{"AEST": "Australian Eastern Standard Time", "AEDT": "Australian Eastern Daylight Time"},
    **{"AWST": "Australian Western Standard Time"},
    **{"NZST": "New Zealand Standard Time", "NZDT": "New Zealand Daylight Time"},
}
"""Short names to full ones, where a short name means one zone in zoneinfo's data."""

_AMBIGUOUS = {"Asia/Kolkata": "India Standard Time", "Asia/Shanghai": "China Standard Time"}


def full_name(zone: Zone, short: str) -> str | None:
    """The full English name behind a short one, or None if it is not known."""
    if zone.id in _AMBIGUOUS:
        return _AMBIGUOUS[zone.id]
    if short in ("CST", "CDT") and not zone.id.startswith(("America/", "US/", "CST6CDT")):
        return None
    return FULL_NAMES.get(short, short if zone.region is None else None)
