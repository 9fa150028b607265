"""What planning may look at: the catalog, the functions, the settings and the schema registry."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamsql.catalog import Catalog
from streamsql.config import Config
from streamsql.formats.format import SchemaStore
from streamsql.functions.library import Library
from streamsql.types import SqlType


@dataclass(frozen=True, slots=True)
class Environment:
    """Everything a statement's meaning depends on. `schemas` is None where no registry is at hand."""

    catalog: Catalog = field(default_factory=Catalog)
    library: Library = field(default_factory=Library)
    config: Config = field(default_factory=lambda: Config({}))
    schemas: SchemaStore | None = None

    def type(self, name: str) -> SqlType | None:
        """A custom type by name."""
        return self.catalog.type(name)
