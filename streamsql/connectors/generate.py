"""Made-up data to try things with: page views, ad clicks, users, orders. The same seed gives the same rows.

Rows are made in blocks of 65,536, each with its own random numbers, so that the rows do not depend on
how they are cut into batches and any of them can be made without those before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamsql.clock import Clock
from streamsql.connectors.declare import declaration, name_of
from streamsql.errors import PlanError
from streamsql.schema import Column
from streamsql.types import BIGINT, DOUBLE, INTEGER, VARCHAR, Decimal

Int64Array = npt.NDArray[np.int64]

BLOCK_ROWS = 65_536
START_MS = 1_704_067_200_000
"""2024-01-01T00:00Z, where event time begins unless told otherwise."""

_USERS = 100_000
_PAGES = 1000
_ADS = 1000
_AGENTS = tuple(
    f"Mozilla/5.0 ({system}) {browser}"
    for system in ("Windows NT 10.0", "Macintosh", "X11; Linux", "iPhone", "Android 14")
    for browser in ("Firefox/128.0", "Chrome/127.0.0", "Version/17.5 Safari", "Edg/127.0.26")
)
_COUNTRIES = tuple(
    "AR AT AU BE BR CA CH CL CN CO CZ DE DK EG ES FI FR GB GR HU ID IE IL IN IT JP KE KR MA MX "
    "MY NG NL NO NZ PE PH PL PT RO SA SE SG TH TR TW UA US VN ZA".split()
)
_STATUSES, _STATUS_SHARES = (200, 304, 404, 301, 500), (0.90, 0.04, 0.03, 0.02, 0.01)
_PLANS, _PLAN_SHARES = ("free", "pro", "team"), (0.70, 0.25, 0.05)


@dataclass(frozen=True, slots=True)
class Template:
    """A kind of made-up data.

    key                name of the column that a table of it would have as primary key, or None
    time_column        column that holds the event time, ms, or None: then only the record has it
    events_per_second  of event time
    most_late_ms       how far behind the others a record may come
    make               (random numbers, row numbers int64[n], event times int64[n]) -> columns by name
    """

    name: str
    says: str
    columns: tuple[Column, ...]
    events_per_second: int
    make: Callable[[np.random.Generator, Int64Array, Int64Array], Mapping[str, pa.Array[Any]]]
    time_column: str | None = None
    key: str | None = None
    most_late_ms: int = 0

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.type.arrow) for c in self.columns])


@dataclass(frozen=True, slots=True)
class Generated:
    """Rows in the template's columns, and their event times, int64[n] ms."""

    rows: pa.RecordBatch
    times: Int64Array


def block(
    template: Template, number: int, seed: int, times_of: Callable[[Int64Array], Int64Array]
) -> Generated:
    """The rows [number * BLOCK_ROWS, (number + 1) * BLOCK_ROWS).

    times_of  row numbers int64[n] -> the time at which each would come if none were late, ms
    """
    random = np.random.default_rng([seed, number])
    rows = np.arange(number * BLOCK_ROWS, (number + 1) * BLOCK_ROWS, dtype=np.int64)
    times = times_of(rows)
    if template.most_late_ms:
        # One in ten is late, most of them a little.
        late = (random.random(len(rows)) ** 2 * template.most_late_ms).astype(np.int64)
        times = times - np.where(random.random(len(rows)) < 0.1, late, 0)
    columns = template.make(random, rows, times)
    batch = pa.RecordBatch.from_arrays([columns[c.name] for c in template.columns], schema=template.schema)
    return Generated(batch, times)


def batches(
    template: Template,
    rows: int,
    *,
    seed: int = 0,
    start_ms: int = START_MS,
    batch_rows: int = BLOCK_ROWS,
) -> Iterator[Generated]:
    """The first `rows` rows, at most `batch_rows` at a time; event time runs from `start_ms`."""

    def times_of(numbers: Int64Array) -> Int64Array:
        return start_ms + numbers * 1000 // template.events_per_second

    def make(number: int) -> Generated:
        return block(template, number, seed, times_of)

    return _cut(make, rows, batch_rows)


def paced(
    template: Template,
    rows: int,
    rate: float,
    clock: Clock,
    *,
    seed: int = 0,
    tick_ms: int = 50,
    wait: Callable[[float], object] = time.sleep,
) -> Iterator[Generated]:
    """The first `rows` rows as they would happen, `rate` a second by the clock, stamped with its time.

    wait  called with seconds to let pass until the next rows are due
    """
    started = clock.now_ms()
    given = 0
    current: Generated | None = None
    while given < rows:
        due = min(rows, int((clock.now_ms() - started + tick_ms) * rate / 1000))
        while given < due:
            place = given % BLOCK_ROWS
            if place == 0 or current is None:
                current = block(template, given // BLOCK_ROWS, seed, np.zeros_like)
            count = min(due - given, BLOCK_ROWS - place)
            yield _shifted(template, _slice(current, place, count), clock.now_ms())
            given += count
        if given < rows:
            wait(tick_ms / 1000)


def create_statement(
    template: Template, topic: str, name: str | None = None, *, has_key: bool = False
) -> str:
    """The statement that declares a stream over a topic with this data.

    has_key  a template that has a key makes a table: declared before the rows are written, so that
             the records have keys

    >>> create_statement(TEMPLATES["users"], "users")
    "CREATE STREAM USERS (USER_ID BIGINT, COUNTRY VARCHAR, PLAN VARCHAR) WITH (KAFKA_TOPIC = 'users');"
    """
    key = template.key if has_key else None
    columns = [(c.name, f"{c.type} PRIMARY KEY" if c.name == key else str(c.type)) for c in template.columns]
    return declaration(
        name or name_of(topic),
        columns,
        topic,
        {"TIMESTAMP": template.time_column} if template.time_column else {},
        kind="TABLE" if key else "STREAM",
    )


def clickstream(users: int) -> Template:
    """The clickstream template with another number of users."""
    return replace(TEMPLATES["clickstream"], make=partial(_clickstream, users=users))


def template(name: str) -> Template:
    """raises  PlanError DATAGEN-UNKNOWN-TEMPLATE"""
    found = TEMPLATES.get(name.lower())
    if found is None:
        raise PlanError(
            f"there is no template '{name}' to generate data from",
            code="DATAGEN-UNKNOWN-TEMPLATE",
            hint=f"there are {', '.join(TEMPLATES)}",
        )
    return found


class RowsSink(Protocol):
    """What takes the rows: a topic writer."""

    def write(self, rows: pa.RecordBatch, timestamps: pa.Array[Any] | None = None) -> int:
        """Append typed rows with their times, int64[n] ms; gives their number."""


def send(
    generated: Iterator[Generated], sink: RowsSink, on_progress: Callable[[int], None] | None = None
) -> int:
    """Write rows until there are no more; gives their number.

    on_progress  called after each batch with the rows written so far
    """
    rows = 0
    for piece in generated:
        rows += sink.write(piece.rows, pa.array(piece.times))
        if on_progress is not None:
            on_progress(rows)
    return rows


def _cut(make: Callable[[int], Generated], rows: int, batch_rows: int) -> Iterator[Generated]:
    for number in range((rows + BLOCK_ROWS - 1) // BLOCK_ROWS):
        whole = make(number)
        size = min(BLOCK_ROWS, rows - number * BLOCK_ROWS)
        for place in range(0, size, batch_rows):
            yield _slice(whole, place, min(batch_rows, size - place))


def _slice(whole: Generated, place: int, count: int) -> Generated:
    return Generated(whole.rows.slice(place, count), whole.times[place : place + count])


def _shifted(template: Template, piece: Generated, by_ms: int) -> Generated:
    times = piece.times + by_ms
    if template.time_column is None:
        return Generated(piece.rows, times)
    at = piece.rows.schema.get_field_index(template.time_column)
    field = piece.rows.schema.field(at)
    return Generated(piece.rows.set_column(at, field, pa.array(times)), times)


# --- the templates -------------------------------------------------------------------------------


def _clickstream(
    random: np.random.Generator, rows: Int64Array, times: Int64Array, users: int = _USERS
) -> Mapping[str, pa.Array[Any]]:
    n = len(rows)
    return {
        "USER_ID": pa.array(_skewed_users(random, n, users)),
        "PAGE": _pick(random, n, "page", _PAGE_SHARES),
        "VIEWTIME": pa.array(times),
        "STATUS": pa.array(np.array(_STATUSES, np.int32)[_draw(random, n, _STATUS_SHARES)]),
        "AGENT": _pick(random, n, "agent", _AGENT_SHARES),
        "PRICE": pa.array(np.round(random.exponential(25.0, n), 2)),
    }


def _clicks(random: np.random.Generator, rows: Int64Array, times: Int64Array) -> Mapping[str, pa.Array[Any]]:
    n = len(rows)
    return {
        "USER_ID": pa.array(random.integers(0, _USERS, n)),
        "VIEWTIME": pa.array(times),
        "AD_ID": pa.array(random.integers(0, _ADS, n)),
    }


def _users(random: np.random.Generator, rows: Int64Array, times: Int64Array) -> Mapping[str, pa.Array[Any]]:
    n = len(rows)
    return {
        # After the last user come changes of the first ones.
        "USER_ID": pa.array(rows % _USERS),
        "COUNTRY": _pick(random, n, "country", _COUNTRY_SHARES),
        "PLAN": _pick(random, n, "plan", _PLAN_SHARES),
    }


def _orders(random: np.random.Generator, rows: Int64Array, times: Int64Array) -> Mapping[str, pa.Array[Any]]:
    n = len(rows)
    return {
        "ORDER_ID": pa.array(rows),
        "USER_ID": pa.array(_skewed_users(random, n)),
        "ITEM": _pick(random, n, "item", _ITEM_SHARES),
        "AMOUNT": _decimals(np.minimum(random.lognormal(8.0, 1.0, n), 9e9).astype(np.int64)),
        "ORDER_TIME": pa.array(times),
    }


def _skewed_users(random: np.random.Generator, n: int, users: int = _USERS) -> Int64Array:
    """A tenth of the users makes almost half of the rows."""
    return (random.random(n) ** 3 * users).astype(np.int64)


def _pick(random: np.random.Generator, n: int, kind: str, shares: Sequence[float]) -> pa.Array[Any]:
    """Texts of a kind, each as often as its share."""
    return _texts(kind).take(_draw(random, n, shares))


def _draw(random: np.random.Generator, n: int, shares: Sequence[float]) -> Int64Array:
    """Places in `shares`, each as often as its share of their sum (to 1/65,536)."""
    places: Int64Array = _draw_table(tuple(shares))[random.integers(0, 65_536, n, dtype=np.uint16)]
    return places


@cache
def _draw_table(shares: tuple[float, ...]) -> Int64Array:
    bounds = np.cumsum(np.array(shares))
    middles = (np.arange(65_536) + 0.5) / 65_536 * bounds[-1]
    places: Int64Array = np.searchsorted(bounds, middles).astype(np.int64)
    return places


def _zipf(kinds: int) -> tuple[float, ...]:
    """Shares of which the k-th is 1/k of the first."""
    return tuple(1 / k for k in range(1, kinds + 1))


_PAGE_SHARES, _ITEM_SHARES = _zipf(_PAGES), _zipf(500)
_AGENT_SHARES, _COUNTRY_SHARES = _zipf(len(_AGENTS)), _zipf(len(_COUNTRIES))


@cache
def _texts(kind: str) -> pa.Array[Any]:
    texts: dict[str, Sequence[str]] = {
        "page": [f"/page/{i}" for i in range(_PAGES)],
        "agent": _AGENTS,
        "country": _COUNTRIES,
        "plan": _PLANS,
        "item": [f"item-{i:03}" for i in range(500)],
    }
    return pa.array(texts[kind], pa.string())


def _decimals(cents: Int64Array) -> pa.Array[Any]:
    """Hundredths as DECIMAL(10, 2), exact: 128-bit little-endian, the upper half is the sign."""
    halves = np.empty((len(cents), 2), dtype="<i8")
    halves[:, 0] = cents
    halves[:, 1] = cents >> 63
    return pa.Array.from_buffers(pa.decimal128(10, 2), len(cents), [None, pa.py_buffer(halves.tobytes())])


TEMPLATES: dict[str, Template] = {
    t.name: t
    for t in (
        Template(
            "clickstream",
            "page views of 100,000 users on 1,000 pages, up to 2 s out of order",
            (
                Column("USER_ID", BIGINT),
                Column("PAGE", VARCHAR),
                Column("VIEWTIME", BIGINT),
                Column("STATUS", INTEGER),
                Column("AGENT", VARCHAR),
                Column("PRICE", DOUBLE),
            ),
            5000,
            _clickstream,
            time_column="VIEWTIME",
            most_late_ms=2000,
        ),
        Template(
            "clicks",
            "clicks on ads by those users, one for every five page views",
            (Column("USER_ID", BIGINT), Column("VIEWTIME", BIGINT), Column("AD_ID", BIGINT)),
            1000,
            _clicks,
            time_column="VIEWTIME",
            most_late_ms=2000,
        ),
        Template(
            "users",
            "100,000 users with country and plan, then changes of them",
            (Column("USER_ID", BIGINT), Column("COUNTRY", VARCHAR), Column("PLAN", VARCHAR)),
            5000,
            _users,
            key="USER_ID",
        ),
        Template(
            "orders",
            "orders of those users: item, amount, time",
            (
                Column("ORDER_ID", BIGINT),
                Column("USER_ID", BIGINT),
                Column("ITEM", VARCHAR),
                Column("AMOUNT", Decimal(10, 2)),
                Column("ORDER_TIME", BIGINT),
            ),
            200,
            _orders,
            time_column="ORDER_TIME",
        ),
    )
}
