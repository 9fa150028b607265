"""The events of Nexmark: persons, auctions and bids, 1 : 3 : 46 of every 50, some of them hot.

After the generator of Apache Beam and of github.com/nexmark/nexmark: ids count up with the events; of an
event number n = 50 e + r the first (r = 0) is person e, the next three are auctions, all others bids. Half
of the bids go to a hot auction and three in four come from a hot bidder, three in four auctions belong to
a hot seller: the last id that is a multiple of 100. All others are spread over the last 100 auctions or the
last 1,000 persons. Events are 100 µs apart, in order of time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]

START_MS = 1_700_000_000_000
_PER_EPOCH, _AUCTIONS = 50, 3
_FIRST_ID = 1000
_HOT = 100
_ACTIVE_PERSONS, _OPEN_AUCTIONS = 1_000, 100
_EVENTS_PER_MS = 10

_STATES = ["AZ", "CA", "ID", "OR", "WA", "WY"]
_CITIES = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
]
_FIRST = ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"]
_LAST = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"]
_HOT_CHANNELS = ["Google", "Facebook", "Baidu", "Apple"]


@dataclass(frozen=True, slots=True)
class Events:
    """What `n` events are: three tables, each in the order of time, DATE_TIME in it."""

    persons: pa.Table
    auctions: pa.Table
    bids: pa.Table


def events(n: int, seed: int = 1) -> Events:
    """The first n events; the same for the same seed."""
    chance = np.random.default_rng(seed)
    numbers = np.arange(n, dtype=np.int64)
    places = numbers % _PER_EPOCH
    return Events(
        _persons(numbers[places == 0], chance),
        _auctions(numbers[(places > 0) & (places <= _AUCTIONS)], chance),
        _bids(numbers[places > _AUCTIONS], chance),
    )


def _time_ms(numbers: Ints) -> Ints:
    return START_MS + numbers // _EVENTS_PER_MS


def _moment(ms: Ints) -> pa.Array[Any]:
    return pa.array(ms * 1000, pa.timestamp("us"))


def _last_person(numbers: Ints) -> Ints:
    return _FIRST_ID + numbers // _PER_EPOCH


def _last_auction(numbers: Ints) -> Ints:
    """Of those that have been there up to the event."""
    in_epoch = np.minimum(numbers % _PER_EPOCH, _AUCTIONS)
    return _FIRST_ID + numbers // _PER_EPOCH * _AUCTIONS + in_epoch - 1


def _recent(last: Ints, active: int, chance: np.random.Generator) -> Ints:
    """One of the last `active` ids, or of those that there are."""
    there = np.minimum(last - _FIRST_ID + 1, active)
    return last - (chance.random(len(last)) * there).astype(np.int64)


def _or_hot(recent: Ints, last: Ints, ratio: int, chance: np.random.Generator) -> Ints:
    """The hot id, except for one in `ratio`."""
    hot = np.maximum(last // _HOT * _HOT, _FIRST_ID)
    return np.where(chance.integers(ratio, size=len(last)) > 0, hot, recent)


def _price(n: int, chance: np.random.Generator) -> Ints:
    """In cents, as many between 1 and 10 as between 100,000 and 1,000,000 dollars."""
    return np.round(10 ** (chance.random(n) * 6) * 100).astype(np.int64)


def _texts(choices: list[str], n: int, chance: np.random.Generator) -> pa.Array[Any]:
    return pa.array(choices).take(pa.array(chance.integers(len(choices), size=n)))


_EXTRAS = 1000


def _extra(n: int, length: int, chance: np.random.Generator) -> pa.Array[Any]:
    """Filler: letters nobody asks about."""
    letters = chance.integers(97, 123, size=(_EXTRAS, length), dtype=np.uint8)
    return _texts([row.tobytes().decode() for row in letters], n, chance)


def _persons(numbers: Ints, chance: np.random.Generator) -> pa.Table:
    n = len(numbers)
    name = pc.binary_join_element_wise(_texts(_FIRST, n, chance), _texts(_LAST, n, chance), " ")
    columns = {
        "ID": pa.array(_last_person(numbers)),
        "NAME": name,
        "EMAIL": pc.binary_join_element_wise(pc.replace_substring(name, " ", "@"), "example.com", "."),
        "CREDIT_CARD": pa.array(chance.integers(10**15, 10**16, size=n)).cast(pa.string()),
        "CITY": _texts(_CITIES, n, chance),
        "STATE": _texts(_STATES, n, chance),
        "DATE_TIME": _moment(_time_ms(numbers)),
        "EXTRA": _extra(n, 40, chance),
    }
    return pa.table(columns)


def _auctions(numbers: Ints, chance: np.random.Generator) -> pa.Table:
    n = len(numbers)
    times = _time_ms(numbers)
    first_bid = _price(n, chance)
    horizon_ms = _OPEN_AUCTIONS * _PER_EPOCH // _AUCTIONS // _EVENTS_PER_MS
    seller = _or_hot(
        _recent(_last_person(numbers), _ACTIVE_PERSONS, chance), _last_person(numbers), 4, chance
    )
    columns = {
        "ID": pa.array(_last_auction(numbers)),
        "ITEM_NAME": _extra(n, 20, chance),
        "DESCRIPTION": _extra(n, 60, chance),
        "INITIAL_BID": pa.array(first_bid),
        "RESERVE": pa.array(first_bid + _price(n, chance)),
        "DATE_TIME": _moment(times),
        "EXPIRES": _moment(times + 1 + chance.integers(2 * horizon_ms, size=n)),
        "SELLER": pa.array(seller),
        "CATEGORY": pa.array(10 + chance.integers(5, size=n)),
        "EXTRA": _extra(n, 40, chance),
    }
    return pa.table(columns)


def _bids(numbers: Ints, chance: np.random.Generator) -> pa.Table:
    n = len(numbers)
    last_auction, last_person = _last_auction(numbers), _last_person(numbers)
    is_hot = chance.integers(2, size=n) > 0
    rare = chance.integers(10_000, size=n)
    channel = pc.if_else(
        pa.array(is_hot),
        _texts(_HOT_CHANNELS, n, chance),
        pc.binary_join_element_wise("channel", pa.array(rare).cast(pa.string()), "-"),
    )
    path = pa.array([f"https://www.nexmark.com/{a}/{b}/item.htm?query=1" for a in "xyz" for b in "abcdefgh"])
    url = path.take(pa.array(chance.integers(len(path), size=n)))
    with_id = pc.binary_join_element_wise(url, pa.array(rare).cast(pa.string()), "&channel_id=")
    columns = {
        "AUCTION": pa.array(_or_hot(_recent(last_auction, _OPEN_AUCTIONS, chance), last_auction, 2, chance)),
        "BIDDER": pa.array(_or_hot(_recent(last_person, _ACTIVE_PERSONS, chance), last_person, 4, chance)),
        "PRICE": pa.array(_price(n, chance)),
        "CHANNEL": channel,
        # A channel that everyone knows is known by its name.
        "URL": pc.if_else(pa.array(is_hot), url, with_id),
        "DATE_TIME": _moment(_time_ms(numbers)),
        "EXTRA": _extra(n, 60, chance),
    }
    return pa.table(columns)
