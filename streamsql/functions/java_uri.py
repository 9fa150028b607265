"""URIs as java.net.URI reads them: RFC 2396 with its deviations, the parts percent-decoded.

An authority that is no server (a host with an underscore, say) is still an authority, without host and
port. Characters beyond ASCII are allowed unless they are blanks or controls.
"""

from __future__ import annotations

import re
import string
import unicodedata
from dataclasses import dataclass

from streamsql.errors import DataError

_ALPHANUMERIC = string.ascii_letters + string.digits
_UNRESERVED = _ALPHANUMERIC + "-_.!~*'()"
_PATH = frozenset(_UNRESERVED + ":@&=+$,;/")
_URIC = frozenset(_UNRESERVED + ";/?:@&=+$,[]")
_USER = frozenset(_UNRESERVED + ";:&=+$,")
_REGISTRY = frozenset(_UNRESERVED + "$,;:@&=+")
_SERVER = frozenset(_USER | frozenset(_ALPHANUMERIC + "-.:@[]"))
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_SPLIT = re.compile(r"(?:([^:/?#]*):)?([^#]*)(?:#(.*))?", re.DOTALL)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_LAST_LABEL = r"[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9]|0[0-9]{1,2})"
_HOST = re.compile(
    rf"{_BYTE}(?:\.{_BYTE}){{3}}|{_LABEL}\.?|(?:{_LABEL}\.)+{_LAST_LABEL}\.?|\[[0-9A-Fa-f:.]+(?:%\w+)?\]"
)
_AUTHORITY = re.compile(r"(?:([^@]*)@)?(\[[^\]]*\]|[^:]*)(?::([0-9]*))?")
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


@dataclass(frozen=True, slots=True)
class Uri:
    """The parts of a URI, decoded; None for what is not there. path is None if the URI is opaque."""

    scheme: str | None
    host: str | None
    port: int | None
    path: str | None
    query: str | None
    fragment: str | None


def parse_uri(text: str) -> Uri:
    """The parts of a URI.

    raises  DataError if the text is none
    """
    match = _SPLIT.fullmatch(text)
    assert match is not None
    scheme, rest, fragment = match.groups()
    if scheme is not None and not _SCHEME.fullmatch(scheme):
        raise _bad(text, "the scheme")
    if fragment is not None:
        _check(text, fragment, _URIC, "the fragment")
    if scheme is not None and not rest.startswith("/"):
        if not rest:
            raise _bad(text, "what follows the scheme")
        _check(text, rest, _URIC, "what follows the scheme")
        return Uri(scheme, None, None, None, None, decoded(fragment))
    host, port = None, None
    if rest.startswith("//"):
        authority = re.split("[/?]", rest[2:], maxsplit=1)[0]
        rest = rest[2 + len(authority) :]
        if authority:
            host, port = _server(text, authority)
        elif not rest and fragment is None:
            raise _bad(text, "the authority")
    path, _, query = rest.partition("?")
    _check(text, path, _PATH, "the path")
    _check(text, query, _URIC, "the query")
    return Uri(scheme, host, port, decoded(path), decoded(query) if "?" in rest else None, decoded(fragment))


def _server(text: str, authority: str) -> tuple[str | None, int | None]:
    """Host and port; neither if the authority is only a registered name."""
    match = _AUTHORITY.fullmatch(authority)
    if match is not None:
        user, host, port = match.groups()
        is_server = (
            _HOST.fullmatch(host) and (user is None or _holds(user, _USER)) and _holds(authority, _SERVER)
        )
        if is_server and (not port or int(port) < 1 << 31):
            return host, int(port) if port else None
    if not _holds(authority, _REGISTRY):
        raise _bad(text, "the authority")
    return None, None


def _bad(text: str, part: str) -> DataError:
    return DataError(f"'{text}' is no URI: {part} is missing or has a character that must not stand there")


def _check(text: str, part: str, allowed: frozenset[str], what: str) -> None:
    if not _holds(part, allowed):
        raise _bad(text, what)


def _holds(part: str, allowed: frozenset[str]) -> bool:
    """Whether all characters are allowed, escapes or, beyond ASCII, neither blanks nor controls."""
    if "%" in part:
        part = _ESCAPES.sub("", part)
    return all(
        char in allowed or (char > "\x7f" and unicodedata.category(char) not in ("Cc", "Zs", "Zl", "Zp"))
        for char in part
    )


def decoded(part: str | None) -> str | None:
    """The text with its escapes read as UTF-8; what is no UTF-8 becomes U+FFFD."""
    if part is None or "%" not in part:
        return part
    return _ESCAPES.sub(lambda m: bytes.fromhex(m[0].replace("%", "")).decode("utf-8", "replace"), part)
