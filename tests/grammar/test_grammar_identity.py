"""Canonical SQL prints back as it stands; other spellings print as the canonical one."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamsql.grammar.parser import parse, parse_expression, parse_statement, parse_type
from streamsql.grammar.printer import to_sql
from streamsql.grammar.statements import split

TEXTS = [piece.text for piece in split((Path(__file__).parent / "identity.sql").read_text(encoding="utf-8"))]
TEXTS = ["\n".join(line for line in text.split("\n") if not line.startswith("--")) for text in TEXTS]


@pytest.mark.parametrize("text", TEXTS)
def test_canonical_text_prints_back(text: str) -> None:
    (statement,) = parse(text)
    assert to_sql(statement) + ";" == text


STATEMENTS = [
    # case, blanks, comments
    ("select\n\t*  from -- what\n s /* ; */", "SELECT * FROM S"),
    ("--@test: x\nSELECT * FROM s", "SELECT * FROM S"),
    ('SELECT `a`, `A`, "b""c", "C" FROM "s"', "SELECT `a`, A, `b\"c`, C FROM `s`"),
    ("SELECT a b, a AS `b`, 1r two FROM s t", "SELECT A AS B, A AS `b`, 1R AS TWO FROM S AS T"),
    # operators and literals with two spellings
    ("SELECT a != b, a <> b FROM s", "SELECT A <> B, A <> B FROM S"),
    ("SELECT 1e3, .5E-2, 1.E2, -2e0, 007 FROM s", "SELECT 1000.0E0, 0.005E0, 100.0E0, -2.0E0, 7 FROM S"),
    ("SELECT ((a)), (a + b), ((a = b)) FROM s", "SELECT A, A + B, A = B FROM S"),
    ("SELECT (a AND b) AND c, a AND (b AND c) FROM s", "SELECT A AND B AND C, A AND (B AND C) FROM S"),
    ("SELECT f((x) => x), f((x, y) => (x)) FROM s", "SELECT F(X => X), F((X, Y) => X) FROM S"),
    ("SELECT dateadd(day, 1, x) FROM s", "SELECT DATEADD(DAYS, 1, X) FROM S"),
    # clauses
    ("SELECT a FROM s GROUP BY (a, b)", "SELECT A FROM S GROUP BY A, B"),
    ("SELECT a FROM s GROUP BY (a), (b)", "SELECT A FROM S GROUP BY A, B"),
    ("SELECT a FROM s ORDER BY a ASC", "SELECT A FROM S ORDER BY A"),
    ("SELECT a FROM s UNION DISTINCT SELECT a FROM t", "SELECT A FROM S UNION SELECT A FROM T"),
    ("(SELECT a FROM s)", "SELECT A FROM S"),
    ("(SELECT a FROM s) UNION (SELECT a FROM t)", "SELECT A FROM S UNION SELECT A FROM T"),
    ("SELECT * FROM a INNER JOIN b ON a.x=b.x", "SELECT * FROM A JOIN B ON A.X = B.X"),
    ("SELECT * FROM a LEFT OUTER JOIN b ON x=y", "SELECT * FROM A LEFT JOIN B ON X = Y"),
    ("SELECT * FROM a RIGHT OUTER JOIN b ON x=y", "SELECT * FROM A RIGHT JOIN B ON X = Y"),
    ("SELECT * FROM a FULL OUTER JOIN b ON x=y", "SELECT * FROM A FULL JOIN B ON X = Y"),
    (
        "SELECT * FROM a JOIN b WITHIN (1 day, 1 days) ON x=y",
        "SELECT * FROM A JOIN B WITHIN 1 DAYS ON X = Y",
    ),
    (
        "SELECT a FROM s WINDOW SESSION (1 MILLISECOND) GROUP BY a",
        "SELECT A FROM S WINDOW SESSION (1 MILLISECONDS) GROUP BY A",
    ),
    # words that are keywords elsewhere
    ("SELECT emit emit FROM emit AS emit EMIT CHANGES", "SELECT EMIT AS EMIT FROM EMIT AS EMIT EMIT CHANGES"),
    ("SELECT * FROM s AS order ORDER BY a", "SELECT * FROM S AS ORDER ORDER BY A"),
    ("SELECT * FROM s AS union UNION SELECT * FROM t", "SELECT * FROM S AS UNION UNION SELECT * FROM T"),
    ("SELECT * FROM s JOIN t order ON a = b", "SELECT * FROM S JOIN T AS ORDER ON A = B"),
    ("SELECT a over, b escape FROM s", "SELECT A AS OVER, B AS ESCAPE FROM S"),
    ("SELECT map, array, struct FROM s", "SELECT `MAP`, `ARRAY`, `STRUCT` FROM S"),
    ("ALTER STREAM s ADD column INT", "ALTER STREAM S ADD COLUMN `COLUMN` INTEGER"),
    ("ALTER TABLE s ADD c INT, ADD d INT", "ALTER TABLE S ADD COLUMN C INTEGER, ADD COLUMN D INTEGER"),
    ("CREATE STREAM if (a INT)", "CREATE STREAM IF (A INTEGER)"),
    # statements
    ("LIST STREAMS", "SHOW STREAMS"),
    ("print Topic_1 sample 3", "PRINT Topic_1 INTERVAL 3"),
    ("PRINT `a`", "PRINT a"),
    (
        "create stream s with (kafka_topic='x', 'KEY_FORMAT'='json', 'k'=1)",
        "CREATE STREAM S WITH (KAFKA_TOPIC = 'x', KEY_FORMAT = 'json', 'k' = 1)",
    ),
    ("terminate q;", "TERMINATE Q"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "canonical"), STATEMENTS)
def test_other_spellings_print_as_the_canonical_one(text: str, canonical: str) -> None:
    statement = parse_statement(text)
    assert to_sql(statement) == canonical
    assert parse_statement(canonical) == statement


TYPES = [
    ("int", "INTEGER"),
    ("STRING", "VARCHAR"),
    ("varchar(STRING)", "VARCHAR"),
    ("VARCHAR(100)", "VARCHAR"),
    ("int array array", "ARRAY<ARRAY<INTEGER>>"),
    ("MAP<STRING, INT> ARRAY", "ARRAY<MAP<VARCHAR, INTEGER>>"),
    ("DECIMAL(4,2)", "DECIMAL(4, 2)"),
    ("STRUCT<a INT, `b` STRUCT < > >", "STRUCT<A INTEGER, `b` STRUCT<>>"),
    ("`int`", "`int`"),
    ("`INT`", "INTEGER"),
    ("my_type", "MY_TYPE"),
]


@pytest.mark.parametrize(("text", "canonical"), TYPES)
def test_types(text: str, canonical: str) -> None:
    kind = parse_type(text)
    assert to_sql(kind) == canonical
    assert parse_type(canonical) == kind


def test_an_expression_alone() -> None:
    assert to_sql(parse_expression("a+1 > 2")) == "A + 1 > 2"


def test_several_statements_and_stray_semicolons() -> None:
    assert [to_sql(s) for s in parse(";; SHOW STREAMS;;SHOW TABLES ; -- end")] == [
        "SHOW STREAMS",
        "SHOW TABLES",
    ]
    assert parse(" /* nothing */ ") == ()


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert [to_sql(s) for s in parse("\ufeffSHOW STREAMS;")] == ["SHOW STREAMS"]
