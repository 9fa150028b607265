"""The syntax tree: frozen nodes, each with the span of the text it came from.

Names are stored as they mean, not as they were typed: an unquoted `views` is "VIEWS", a quoted
`` `views` `` is "views". Spans do not take part in equality, so that a tree that was printed and
read again equals the first one.

The nodes stand in `ast_expressions`, `ast_queries` and `ast_statements`; everybody else takes them from here.
"""

from __future__ import annotations

# By the star: a new node is written in one place.
from streamsql.grammar.ast_expressions import *  # noqa: F403
from streamsql.grammar.ast_queries import *  # noqa: F403
from streamsql.grammar.ast_statements import *  # noqa: F403
