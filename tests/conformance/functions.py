"""The functions that the corpus takes for granted and no engine has built in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

FUNCTIONS: tuple[Callable[..., Any], ...] = ()
