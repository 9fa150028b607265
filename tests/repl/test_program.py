"""The command line from outside: every command, what it prints, how it ends."""

from __future__ import annotations

import gzip
import signal
import subprocess
from pathlib import Path

import pytest
from program import ENVIRONMENT, Program

CREATE = "CREATE STREAM views (page VARCHAR, n BIGINT) WITH (KAFKA_TOPIC='views', VALUE_FORMAT='JSON');"
INSERTS = "".join(f"INSERT INTO views VALUES ('{page}', {n});" for page, n in [("/", 1), ("/b", 2), ("/", 3)])
TABLE = "CREATE TABLE sums AS SELECT page, SUM(n) AS total FROM views GROUP BY page;"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def test_statements_run_print_and_last(program: Program) -> None:
    done = program.run("-e", CREATE, "-e", INSERTS).good()
    assert done.out.splitlines()[0] == "stream VIEWS created"
    done = program.run("-e", "SELECT page, n FROM views ORDER BY n").good()
    assert done.out == " PAGE │ N\n──────┼───\n /    │ 1\n /b   │ 2\n /    │ 3\n3 rows\n"
    assert done.err == ""


def test_json_and_csv_are_for_programs(program: Program) -> None:
    sql = CREATE + INSERTS + TABLE + "SELECT page, total FROM sums ORDER BY page;"
    done = program.run("--output", "json", "-e", sql)
    assert done.json == [{"PAGE": "/", "TOTAL": 4}, {"PAGE": "/b", "TOTAL": 2}]
    assert "stream VIEWS created" in done.err
    done = program.run("--output", "csv", "-e", "SELECT page, total FROM sums ORDER BY page;").good()
    assert done.out == "PAGE,TOTAL\n/,4\n/b,2\n"


def test_a_push_query_with_a_limit_ends(program: Program) -> None:
    program.run("-e", CREATE + INSERTS).good()
    done = program.run("--output", "json", "-e", "SELECT page FROM views EMIT CHANGES LIMIT 2;")
    assert [row["PAGE"] for row in done.json] == ["/", "/b"]


def test_a_file_and_standard_input_run_too(program: Program) -> None:
    script = program.folder / "a.sql"
    script.write_text("\ufeff-- views\n" + CREATE + "\n" + INSERTS)
    program.run("-f", script).good()
    assert program.run("-f", "-", stdin="SHOW STREAMS;").good().out.count("VIEWS") == 1
    done = program.run(
        "--output",
        "csv",
        stdin="SELECT n\n FROM views\n WHERE page = '/b';\nSELECT 'no end' AS a FROM views LIMIT 1",
    )
    assert done.out.splitlines() == ["N", "2"]
    assert (done.code, "PARSE" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["-e", "SELEC 1;"], 1, "[PARSE"),
        (["-e", "SELECT * FROM nothing;"], 1, "[PLAN-UNKNOWN-SOURCE] there is no stream or table NOTHING"),
        (["-f", "missing.sql"], 1, "[SCRIPT-FILE] missing.sql cannot be read: No such file"),
        (["load", "t", "missing", "--format", "lines"], 1, "[LOAD-FILE] missing cannot be read"),
        (["run", "missing.sql"], 1, "[SCRIPT-FILE]"),
        (["--set", "no.such=1", "-e", "SHOW STREAMS;"], 1, "[PLAN-UNKNOWN-PROPERTY]"),
        (["--udf", "missing.py", "-e", "SHOW STREAMS;"], 1, "[UDF-FILE]"),
        (["nonsense"], 2, "there is no command 'nonsense'"),
    ],
)
def test_errors_are_reported_and_counted(
    program: Program, arguments: list[str], code: int, said: str
) -> None:
    done = program.run(*arguments)
    assert (done.code, done.out) == (code, "")
    assert said in done.err


def test_an_error_points_at_its_place_and_what_came_before_is_done(program: Program) -> None:
    done = program.run("-e", CREATE + "\nSELECT pag FROM views;")
    assert done.code == 1
    assert "LINE 2: SELECT pag FROM views;\n                 ^^^" in done.err
    assert "VIEWS" in program.run("-e", "SHOW STREAMS").good().out


def test_a_second_process_is_told_who_holds_the_directory(program: Program) -> None:
    holder = program.start("-f", "-")
    assert holder.stdin is not None and holder.stdout is not None
    try:
        waiting = program.start()
        waiting.stdin.write("SHOW STREAMS;\n")  # type: ignore[union-attr]
        waiting.stdin.flush()  # type: ignore[union-attr]
        assert "NAME" in waiting.stdout.readline()  # type: ignore[union-attr]
        done = program.run("-e", "SHOW STREAMS;")
        assert done.code == 1
        assert "[LOG-LOCKED]" in done.err and str(waiting.pid) in done.err
        waiting.communicate()
        assert waiting.returncode == 0
    finally:
        holder.communicate()
    program.run("-e", "SHOW STREAMS;").good()


def test_the_reader_of_the_output_may_leave(program: Program) -> None:
    program.run("datagen", "users", "--topic", "users", "--rows", "50000", "--create").good()
    line = program.line("--output", "json", "-e", "SELECT * FROM users EMIT CHANGES;")
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().startswith(b'{"USER_ID":')
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == 141
    process.stderr.close()


def test_ctrl_c_ends_a_push_query_with_130(program: Program) -> None:
    program.run("-e", CREATE + INSERTS).good()
    process = program.start("--output", "json", "-e", "SELECT * FROM views EMIT CHANGES;")
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == ""


# --- load and datagen ------------------------------------------------------------------------------


def test_load_says_how_much_and_what_to_type(program: Program) -> None:
    path = program.folder / "views.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"page":"/","n":1}\n' * 1000))
    done = program.run("load", "views", path, "--format", "jsonl").good()
    assert done.out.startswith("1,000 records from 1 file into topic views in ")
    statement = done.out.splitlines()[-2].strip()
    assert statement.startswith("CREATE STREAM VIEWS (PAGE VARCHAR, N BIGINT)")
    done = program.run("--output", "json", "-e", statement + "SELECT COUNT(*) AS c FROM views;")
    assert done.json == [{"C": 1000}]
    again = program.run("load", "views", "-", "--format", "jsonl", stdin='{"page":"/x","n":2}').good()
    assert "CREATE STREAM" not in again.out
    done = program.run("--output", "json", "-e", "SELECT COUNT(*) AS c, SUM(n) AS s FROM views;")
    assert done.json == [{"C": 1001, "S": 1002}]


@pytest.mark.parametrize("template", ["clickstream", "users", "orders"])
def test_datagen_declares_what_it_makes(program: Program, template: str) -> None:
    done = program.run("datagen", template, "--topic", "made", "--rows", "10_000", "--create").good()
    assert "10,000 rows into topic made" in done.out
    done = program.run("--output", "json", "-e", "SELECT COUNT(*) AS c FROM made;")
    assert done.json == [{"C": 10_000}]


def test_datagen_without_create_says_what_to_type(program: Program) -> None:
    done = program.run(
        "datagen", "clickstream", "--topic", "clicks", "--rows", "100", "--rate", "10000"
    ).good()
    statement = done.out.splitlines()[-2].strip()
    done = program.run("--output", "json", "-e", statement + "SELECT COUNT(*) AS c FROM clicks;")
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
    program.run("load", "views", data, "--format", "jsonl").good()
    done = program.run("run", script, "--until-idle").good()
    assert "1 query running · caught up · 10 records read" in done.out
    again = program.run("run", script, "--until-idle").good()
    assert again.err.splitlines() == [
        "stream VIEWS is there already: left as it is",
        "table SUMS is there already: left as it is",
    ]
    assert program.run("--output", "json", "-e", "SELECT * FROM sums;").json == [{"PAGE": "/", "TOTAL": 10}]


def test_run_refuses_the_same_name_with_another_text(program: Program) -> None:
    program.run("run", script_of(program), "--until-idle").good()
    changed = script_of(program, CREATE + "\n" + TABLE.replace("SUM", "MAX"))
    done = program.run("run", changed, "--until-idle")
    assert done.code == 1
    assert "[PLAN-EXISTS] a table SUMS already exists\n  LINE 2: CREATE TABLE sums" in done.err


def test_run_refuses_what_has_no_end(program: Program) -> None:
    done = program.run("run", script_of(program, CREATE + "SELECT * FROM views EMIT CHANGES;"))
    assert done.code == 1 and "[RUN-PUSH-QUERY]" in done.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_run_goes_on_until_a_signal(program: Program, number: signal.Signals, code: int) -> None:
    process = program.start("run", script_of(program), "--interval", "0.2")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(4)]
    assert "query CTAS_SUMS_" in lines[1] and "1 query running · caught up" in lines[3]
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (code, "")


UDF = """
import streamsql

@streamsql.udf("shout(text VARCHAR) -> VARCHAR", says="The text, louder.")
def shout(text):
    return text.upper() + "!"
"""


def test_functions_come_from_a_python_file(program: Program) -> None:
    (program.folder / "mine.py").write_text(UDF)
    sql = CREATE + INSERTS + "SELECT shout(page) AS s FROM views LIMIT 1;"
    done = program.run("--udf", "mine.py", "--output", "json", "-e", sql)
    assert done.json == [{"S": "/!"}]
