"""The shell's colours; those of the terminal's own palette, so that they fit a light and a dark one."""

from __future__ import annotations

from prompt_toolkit.styles import Style

STYLE = Style.from_dict(
    {
        "keyword": "ansiblue bold",
        "function": "ansicyan",
        "string": "ansigreen",
        "number": "ansimagenta",
        "name": "",
        "comment": "ansibrightblack italic",
        "variable": "ansiyellow",
        "bad": "ansired underline",
        "prompt": "bold",
        "continuation": "ansibrightblack",
        "bottom-toolbar": "noreverse ansibrightblack",
        "bottom-toolbar.failed": "ansired",
        "bottom-toolbar.busy": "ansiyellow",
    }
)
PLAIN = Style.from_dict({"bottom-toolbar": "noreverse"})
