"""Says what is wrong where a text does not read."""

from streamsql.errors import ParseError, Span


def explain(machine, start, text, tokens, place, unexpected):
    t = tokens[unexpected.place]
    return ParseError(
        "found " + t.text + " expected " + str(sorted(machine.expected(unexpected.stack))),
        code="PARSE-UNEXPECTED",
        span=Span(t.start, t.end),
        source=text,
    )


def missing_semicolon(text, tokens, place):
    return ParseError("missing ;", code="PARSE-UNEXPECTED", span=Span(len(text), len(text)), source=text)


def after_the_end(text, tokens, place, start):
    return ParseError(
        "extra text", code="PARSE-UNEXPECTED", span=Span(tokens[place].start, len(text)), source=text
    )
