"""The command line from outside: every command, what it prints, how it ends.

What depends on a process (exit status, signals, pipes, a directory held by another one) is tested with
processes; the rest calls the same entry point in this one.
"""

from __future__ import annotations

import gzip
import signal
import subprocess
from pathlib import Path

import pytest
from program import ENVIRONMENT, Program

from streamsql.repl.progress import ProgressLine

CREATE = "CREATE STREAM views (page VARCHAR, n BIGINT) WITH (KAFKA_TOPIC='views', VALUE_FORMAT='JSON');"
INSERTS = "".join(f"INSERT INTO views VALUES ('{page}', {n});" for page, n in [("/", 1), ("/b", 2), ("/", 3)])
TABLE = "CREATE TABLE sums AS SELECT page, SUM(n) AS total FROM views GROUP BY page;"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


# --- as processes ----------------------------------------------------------------------------------


def test_statements_run_print_and_last(program: Program) -> None:
    done = program.run("-e", CREATE, "-e", INSERTS + TABLE).good()
    assert done.out.splitlines()[0] == "stream VIEWS created"
    done = program.run("-e", "SELECT page, total FROM sums ORDER BY page").good()
    assert done.out == " PAGE │ TOTAL\n──────┼───────\n /    │     4\n /b   │     2\n2 rows\n"
    assert done.err == ""


def test_an_error_is_one_message_and_status_1(program: Program) -> None:
    done = program.run("--output", "json", "-e", CREATE + "\nSELECT pag FROM views;")
    assert (done.code, done.out) == (1, "")
    assert "[PLAN-UNKNOWN-COLUMN]" in done.err
    assert "LINE 2: SELECT pag FROM views;\n                 ^^^" in done.err


def test_a_wrong_command_line_is_status_2(program: Program) -> None:
    done = program.run("nonsense")
    assert (done.code, done.out) == (2, "")
    assert "there is no command 'nonsense'" in done.err


def test_a_second_process_is_told_who_holds_the_directory(program: Program) -> None:
    with program.start() as holder:
        assert holder.stdin is not None and holder.stdout is not None
        holder.stdin.write("SHOW STREAMS;\n")
        holder.stdin.flush()
        assert "NAME" in holder.stdout.readline()
        done = program.run("-e", "SHOW STREAMS;")
        assert done.code == 1
        assert "[LOG-LOCKED]" in done.err and str(holder.pid) in done.err
        holder.communicate()
        assert holder.returncode == 0
    program.call("-e", "SHOW STREAMS;").good()


def test_the_reader_of_the_output_may_leave(program: Program) -> None:
    program.call("datagen", "users", "--topic", "users", "--rows", "50000", "--create").good()
    line = program.line("--output", "json", "-e", "SELECT * FROM users EMIT CHANGES;")
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith(b'{"USER_ID":')
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


@pytest.mark.parametrize("output", ["json", "table"])
def test_ctrl_c_ends_a_push_query_with_130_and_says_how_it_went(program: Program, output: str) -> None:
    program.call("-e", CREATE + INSERTS).good()
    sql = "SELECT * FROM views EMIT CHANGES; SHOW STREAMS;"
    with program.start("--output", output, "-e", sql) as process:
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    said = out if output == "table" else err
    assert "3 rows read · 3 shown · 0 filtered · 0 skipped · 0 late\n" in said
    assert err.endswith("ended by Ctrl-C\n")
    assert process.returncode == 130 and "VIEWS" not in out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_run_goes_on_until_a_signal(program: Program, number: signal.Signals, code: int) -> None:
    with program.start("run", script_of(program), "--interval", "0.2") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        assert "query CTAS_SUMS_" in lines[1] and "1 query running · caught up" in lines[3]
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (code, "")


# --- statements ------------------------------------------------------------------------------------


def test_json_and_csv_are_for_programs(program: Program) -> None:
    sql = CREATE + INSERTS + TABLE + "SELECT page, total FROM sums ORDER BY page;"
    done = program.call("--output", "json", "-e", sql)
    assert done.json == [{"PAGE": "/", "TOTAL": 4}, {"PAGE": "/b", "TOTAL": 2}]
    assert "stream VIEWS created" in done.err
    done = program.call("--output", "csv", "-e", "SELECT page, total FROM sums ORDER BY page;").good()
    assert done.out == "PAGE,TOTAL\n/,4\n/b,2\n"


def test_a_push_query_with_a_limit_ends(program: Program) -> None:
    program.call("-e", CREATE + INSERTS).good()
    done = program.call("--output", "json", "-e", "SELECT page FROM views EMIT CHANGES LIMIT 2;")
    assert [row["PAGE"] for row in done.json] == ["/", "/b"]
    assert done.err.startswith("3 rows read · 2 shown")


def test_a_database_in_memory_is_gone_afterwards(program: Program) -> None:
    assert program.call("--data", ":memory:", "-e", CREATE).good().out == "stream VIEWS created\n"
    assert not program.data.exists() and not (program.folder / ":memory:").exists()


@pytest.mark.parametrize("sql", ["SHOW STREAMS", "SHOW STREAMS -- all of them", "SHOW STREAMS;"])
def test_the_last_semicolon_of_an_argument_may_be_left_out(program: Program, sql: str) -> None:
    assert [row["NAME"] for row in program.call("--output", "json", "-e", sql).json] == [
        "KSQL_PROCESSING_LOG"
    ]


def test_an_error_points_into_what_was_typed(program: Program) -> None:
    assert "LINE 1: SELECT 1" in program.call("-e", "SELECT 1").err


def test_a_file_and_standard_input_run_too(program: Program) -> None:
    script = program.folder / "a.sql"
    script.write_text("\ufeff-- views\n" + CREATE + "\n" + INSERTS)
    program.call("-f", script).good()
    assert program.call("-f", "-", stdin="SHOW STREAMS;").good().out.count("VIEWS") == 1
    sql = "SELECT n\n FROM views\n WHERE page = '/b';\nSELECT n FROM views LIMIT 1"
    done = program.call("--output", "csv", stdin=sql)
    assert done.out.splitlines() == ["N", "2"]
    assert (done.code, "[PARSE" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-e", "SELEC 1;"], "[PARSE"),
        (["-e", "SELECT * FROM nothing;"], "[PLAN-UNKNOWN-SOURCE] there is no stream or table NOTHING"),
        (["-f", "missing.sql"], "[SCRIPT-FILE] missing.sql cannot be read: No such file"),
        (["load", "t", "missing", "--format", "lines"], "[LOAD-FILE] missing cannot be read"),
        (["run", "missing.sql"], "[SCRIPT-FILE]"),
        (["--set", "no.such=1", "-e", "SHOW STREAMS;"], "[PLAN-UNKNOWN-PROPERTY]"),
        (["--udf", "missing.py", "-e", "SHOW STREAMS;"], "[UDF-FILE]"),
        (["--data", "/dev/null", "-e", "SHOW STREAMS;"], "/dev/null"),
    ],
)
def test_errors_are_reported_on_stderr(program: Program, arguments: list[str], said: str) -> None:
    done = program.call(*arguments)
    assert (done.code, done.out) == (1, "")
    assert said in done.err


def test_an_error_in_a_file_names_the_file_and_the_line(program: Program) -> None:
    (program.folder / "a.sql").write_text("SHOW STREAMS;\nSELECT * FROM nothing;")
    done = program.call("-e", "SHOW TABLES;", "-f", "a.sql")
    assert done.code == 1
    assert done.err.startswith("in a.sql:\n[PLAN-UNKNOWN-SOURCE]") and "LINE 2:" in done.err


def test_an_error_in_a_file_that_is_run_names_it_too(program: Program) -> None:
    (program.folder / "queries.sql").write_text("SHOW STREAMS;\nSELECT * FROM nothing;\n")
    done = program.call("run", "queries.sql", "--until-idle")
    assert done.code == 1
    assert done.err.startswith("in queries.sql:\n[PLAN-UNKNOWN-SOURCE]") and "LINE 2" in done.err


def test_a_script_that_is_no_text(program: Program) -> None:
    (program.folder / "a.sql").write_bytes(b"SHOW STREAMS;\n\xff")
    done = program.call("-f", "a.sql")
    assert (done.code, "a.sql is not UTF-8 text: see line 2" in done.err) == (1, True)


# --- load and datagen ------------------------------------------------------------------------------


def test_load_says_how_much_and_what_to_type(program: Program) -> None:
    path = program.folder / "views.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"page":"/","n":1}\n' * 1000))
    done = program.call("load", "views", path, "--format", "jsonl").good()
    assert done.out.startswith("1,000 records from 1 file into topic views in ")
    statement = done.out.splitlines()[-2].strip()
    assert statement.startswith("CREATE STREAM VIEWS (PAGE VARCHAR, N BIGINT)")
    done = program.call("--output", "json", "-e", statement + "SELECT COUNT(*) AS c FROM views;")
    assert done.json == [{"C": 1000}]
    again = program.call("load", "views", "-", "--format", "jsonl", stdin='{"page":"/x","n":2}').good()
    assert "CREATE STREAM" not in again.out
    done = program.call("--output", "json", "-e", "SELECT COUNT(*) AS c, SUM(n) AS s FROM views;")
    assert done.json == [{"C": 1001, "S": 1002}]


def test_a_load_that_is_resumed_stores_what_is_new(program: Program) -> None:
    path = program.folder / "log.txt"
    load = ("load", "lines", path, "--format", "lines", "--resume")
    path.write_text("a\nb\n")
    assert program.call(*load).good().out.startswith("2 records from 1 file into topic lines")
    path.write_text("a\nb\nc\n")
    done = program.call(*load).good()
    assert done.out.startswith("1 record from 1 file") and "\nloaded before: 2 records\n" in done.out
    path.write_text("other\n")
    done = program.call(*load)
    assert (done.code, "[LOAD-RESUME]" in done.err, "or without --resume" in done.err) == (1, True, True)
    done = program.call("--output", "json", "-e", "PRINT lines FROM BEGINNING;")
    assert [row["VALUE"] for row in done.json] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("load", "t", "-", "--format", "lines"), "ended by Ctrl-C: 2 records loaded\n"),
        (("datagen", "users", "--topic", "t", "--rows", "100000"), "ended by Ctrl-C: 65,536 rows written\n"),
    ],
)
def test_ctrl_c_while_records_come_says_how_many_have(
    program: Program, monkeypatch: pytest.MonkeyPatch, line: tuple[str, ...], said: str
) -> None:
    # Python raises what Ctrl-C is between any two steps: here, after the first batch.
    monkeypatch.setattr(ProgressLine, "update", lambda *_: signal.raise_signal(signal.SIGINT))
    done = program.call(*line, stdin="a\nb\n")
    assert (done.code, done.out, done.err) == (130, "", said)


@pytest.mark.parametrize("template", ["clickstream", "clicks", "users", "orders"])
def test_datagen_declares_what_it_makes(program: Program, template: str) -> None:
    done = program.call("datagen", template, "--topic", "made", "--rows", "10_000", "--create").good()
    assert "10,000 rows into topic made" in done.out
    done = program.call("--output", "json", "-e", "SELECT COUNT(*) AS c FROM made;")
    assert done.json == [{"C": 10_000}]


def test_datagen_without_create_says_what_to_type(program: Program) -> None:
    line = ("datagen", "clickstream", "--topic", "clicks", "--rows", "100", "--rate", "10000")
    statement = program.call(*line).good().out.splitlines()[-2].strip()
    done = program.call("--output", "json", "-e", statement + "SELECT COUNT(*) AS c FROM clicks;")
    assert done.json == [{"C": 100}]


# --- run -------------------------------------------------------------------------------------------


def script_of(program: Program, text: str = CREATE + "\n" + TABLE) -> Path:
    path = program.folder / "queries.sql"
    path.write_text(text)
    return path


def test_run_until_idle_brings_everything_up_to_date(program: Program) -> None:
    script = script_of(program)
    data = program.folder / "views.jsonl"
    data.write_text('{"page":"/","n":1}\n' * 10)
    program.call("load", "views", data, "--format", "jsonl").good()
    done = program.call("run", script, "--until-idle").good()
    assert "1 query running · caught up · 10 records read" in done.out
    again = program.call("run", script, "--until-idle").good()
    assert again.err.splitlines() == [
        "stream VIEWS is there already: left as it is",
        "table SUMS is there already: left as it is",
    ]
    assert program.call("--output", "json", "-e", "SELECT * FROM sums;").json == [{"PAGE": "/", "TOTAL": 10}]


def test_run_leaves_queries_types_and_inserts_of_an_earlier_run_alone(program: Program) -> None:
    copy = CREATE.replace("views", "copies")
    insert = "INSERT INTO copies SELECT * FROM views;"
    script = script_of(program, f"CREATE TYPE pair AS STRUCT<a BIGINT, b BIGINT>; {CREATE} {copy} {insert}")
    program.call("run", script, "--until-idle").good()
    again = program.call("run", script, "--until-idle").good()
    assert again.err.count("is there already") == 4
    program.call("-e", INSERTS).good()
    assert program.call("--output", "json", "-e", "SELECT COUNT(*) AS c FROM copies;").json == [{"C": 3}]


def test_run_ends_and_says_why_when_nothing_runs_any_more(program: Program) -> None:
    script = script_of(program)
    program.call("-e", CREATE + INSERTS).good()
    (segment,) = (program.data / "topics" / "views" / "0").glob("*.log")
    records = bytearray(segment.read_bytes())
    records[-30] ^= 1
    segment.write_bytes(records)
    broken = "topic views partition 0: the records from offset 2 on are damaged"
    done = program.call("run", script)
    assert done.code == 1
    assert f"query CTAS_SUMS_1 has stopped:\n[LOG-CORRUPT] {broken}" in done.err
    done = program.call("run", script, "--until-idle")
    assert done.code == 1
    assert "[LOG-CORRUPT] query CTAS_SUMS_1" in done.err and broken in done.err


def test_run_refuses_the_same_name_with_another_text(program: Program) -> None:
    program.call("run", script_of(program), "--until-idle").good()
    changed = script_of(program, CREATE + "\n" + TABLE.replace("SUM", "MAX"))
    done = program.call("run", changed, "--until-idle")
    assert done.code == 1
    assert "[PLAN-EXISTS] a table SUMS already exists\n  LINE 2: CREATE TABLE sums" in done.err


def test_run_does_nothing_if_the_file_has_a_syntax_error(program: Program) -> None:
    done = program.call("run", script_of(program, CREATE + "\nCREATE TABLE;"))
    assert done.code == 1 and "LINE 2" in done.err
    assert "VIEWS" not in program.call("-e", "SHOW STREAMS;").good().out


def test_run_fills_in_variables(program: Program) -> None:
    text = "DEFINE name = 'views';\n" + CREATE.replace("STREAM views", "STREAM ${name}")
    program.call("run", script_of(program, text), "--until-idle").good()
    again = program.call("run", script_of(program, text), "--until-idle").good()
    assert "stream VIEWS is there already" in again.err


def test_run_refuses_what_has_no_end(program: Program) -> None:
    done = program.call("run", script_of(program, CREATE + "SELECT * FROM views EMIT CHANGES;"))
    assert done.code == 1 and "[RUN-PUSH-QUERY]" in done.err


UDF = """
from streamsql.functions.user import udf

@udf("shout(text VARCHAR) -> VARCHAR", says="The text, louder.")
def shout(text):
    return text.upper() + "!"
"""


def test_functions_come_from_a_python_file(program: Program) -> None:
    (program.folder / "mine.py").write_text(UDF)
    sql = CREATE + INSERTS + "SELECT shout(page) AS s FROM views LIMIT 1;"
    done = program.call("--udf", "mine.py", "--output", "json", "-e", sql)
    assert done.json == [{"S": "/!"}]
