"""Settings: name, type, default and what they do. SET, SHOW PROPERTIES and the docs read this list."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from streamsql.errors import PlanError
from streamsql.grammar.places import place_of


@dataclass(frozen=True, slots=True)
class Setting:
    """kind: TEXT, NUMBER, BOOLEAN, or the allowed words joined by '|'.

    least     of a NUMBER
    is_fixed  it is given when the database is opened, and stays
    """

    name: str
    kind: str
    default: str
    says: str
    least: int = -1
    is_fixed: bool = False


SETTINGS = (
    Setting("auto.offset.reset", "earliest|latest", "earliest", "Where a new query starts to read a stream."),
    Setting("commit.interval.ms", "NUMBER", "100", "Longest time between commits of a busy query, in ms.", 0),
    Setting(
        "num.stream.threads",
        "NUMBER",
        "1",
        "Threads that work on a query's large batches; more than one makes small ones a little slower.",
    ),
    Setting("max.batch.rows", "NUMBER", "1048576", "Rows of a micro-batch, at most.", 1),
    Setting(
        "log.flush",
        "always|interval|never",
        "always",
        "When appends and commits are forced to disk: before they return, every 100 ms, or never by us.",
        is_fixed=True,
    ),
    Setting(
        "ksql.persistence.default.format.key",
        "TEXT",
        "",
        "Key format where WITH names none; empty: KAFKA, or ARROW beside an ARROW value.",
    ),
    Setting(
        "ksql.persistence.default.format.value",
        "TEXT",
        "ARROW",
        "Value format where WITH names none; empty: it must be named.",
    ),
    Setting(
        "ksql.persistence.wrap.single.values",
        "TEXT",
        "",
        "Whether a single value column is written as a record; empty: as the format prefers.",
    ),
    Setting("ksql.output.topic.name.prefix", "TEXT", "", "Put before the names of sink topics."),
    Setting(
        "ksql.functions.collect_list.limit", "NUMBER", "-1", "Most elements COLLECT_LIST keeps; -1: no limit."
    ),
    Setting(
        "ksql.functions.collect_set.limit", "NUMBER", "-1", "Most elements COLLECT_SET keeps; -1: no limit."
    ),
    Setting(
        "ksql.timestamp.throw.on.invalid",
        "BOOLEAN",
        "false",
        "An unreadable event time ends the query instead of dropping the record.",
    ),
    Setting("ksql.query.pull.table.scan.enabled", "BOOLEAN", "true", "Pull queries may scan a whole table."),
    Setting(
        "ksql.query.pull.range.scan.enabled", "BOOLEAN", "true", "Pull queries may scan a range of keys."
    ),
    Setting("ksql.query.pull.limit.clause.enabled", "BOOLEAN", "true", "Pull queries may have a LIMIT."),
    Setting("ksql.query.pull.stream.enabled", "BOOLEAN", "true", "Pull queries may read a stream's history."),
    Setting("ksql.create.or.replace.enabled", "BOOLEAN", "true", "CREATE OR REPLACE is allowed."),
    Setting("ksql.insert.into.values.enabled", "BOOLEAN", "true", "INSERT INTO .. VALUES is allowed."),
    Setting("ksql.headers.columns.enabled", "BOOLEAN", "true", "HEADERS columns are allowed."),
    Setting("ksql.suppress.enabled", "BOOLEAN", "true", "EMIT FINAL is allowed."),
    Setting("ksql.variable.substitution.enable", "BOOLEAN", "true", "${name} is replaced in statements."),
    Setting(
        "ksql.schema.registry.url", "TEXT", "", "A Schema Registry; empty: the one in the data directory."
    ),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}
_IGNORED_PREFIXES = (
    "ksql.streams.",
    "ksql.sink.",
    "ksql.functions.",
    "ksql.new.",
    "ksql.windowed.",
    "ksql.assert.",
)
_IGNORED = (
    "processing.guarantee",
    "cache.max.bytes.buffering",
    "ksql.query.push.v2.enabled",
    "ksql.logging.processing.rows.include",
    "ksql.lambdas.enabled",
    "ksql.query.persistent.active.limit",
    "ksql.pull.queries.enable",
    "ksql.service.id",
    "max.task.idle.ms",
)


@dataclass(frozen=True, slots=True)
class Config:
    """Values by name; what is not set has its default."""

    values: Mapping[str, str]

    def text(self, name: str) -> str:
        return self.values.get(name, _BY_NAME[name].default)

    def number(self, name: str) -> int:
        return int(self.text(name))

    def flag(self, name: str) -> bool:
        return self.text(name).lower() == "true"

    def with_value(self, name: str, value: str) -> Config:
        """The settings with one more value.

        raises  PlanError for an unknown name or a value of the wrong kind
        """
        name = canonical(name)
        setting = _BY_NAME.get(name)
        if setting is not None:
            check(setting, value)
        return Config({**self.values, name: str(value)})

    def without(self, name: str) -> Config:
        name = canonical(name)
        return Config({k: v for k, v in self.values.items() if k != name})

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """(name, value, default, what it does) of every setting."""
        for setting in SETTINGS:
            yield setting.name, self.text(setting.name), setting.default, setting.says


def canonical(name: str) -> str:
    """The name as SETTINGS has it; ksqlDB's own names that have no meaning here pass as they are.

    raises  PlanError PLAN-UNKNOWN-PROPERTY
    """
    short = name.removeprefix("ksql.streams.")
    if short in _BY_NAME:
        return str(short)
    if name.startswith(_IGNORED_PREFIXES) or short in _IGNORED:
        return str(name)
    near = difflib.get_close_matches(name, _BY_NAME, 1)
    raise PlanError(
        f"there is no property '{name}'",
        code="PLAN-UNKNOWN-PROPERTY",
        span=place_of(name),
        hint=f"did you mean '{near[0]}'?" if near else "SHOW PROPERTIES; lists them",
    )


def check_changeable(name: str) -> None:
    """raises PlanError PLAN-PROPERTY-FIXED for a setting that SET and UNSET cannot change."""
    setting = _BY_NAME.get(canonical(name))
    if setting is not None and setting.is_fixed:
        raise PlanError(
            f"'{setting.name}' is fixed while the database is open",
            code="PLAN-PROPERTY-FIXED",
            span=place_of(name),
            hint=f"give it when the database is opened: streamsql --set {setting.name}=..",
        )


def check(setting: Setting, value: str) -> None:
    """raises PlanError PLAN-PROPERTY-VALUE if the value is not of the setting's kind."""
    if setting.kind == "TEXT":
        return
    if setting.kind == "NUMBER":
        if value.removeprefix("-").isdigit() and int(value) >= setting.least:
            return
        expected = f"a whole number, {setting.least} or more"
    else:
        words = "true|false" if setting.kind == "BOOLEAN" else setting.kind
        if value.lower() in words.split("|"):
            return
        expected = words.replace("|", " or ")
    raise PlanError(
        f"'{setting.name}' must be {expected}, not '{value}'",
        code="PLAN-PROPERTY-VALUE",
        span=place_of(value),
    )
