"""In a terminal of any width and colours, a usage error is the same plain line as in a pipe."""

import fcntl
import os
import pty
import struct
import termios

import pytest

MISTAKES = {
    "generate": "DIR is missing (the saved model)",
    "train lm": "needs a file",
    "train lm a.txt --hiden-size 5": "there is no option --hiden-size; did you mean --hidden-size?",
    "train lm a.txt --out m --hidden-size": "--hidden-size needs a value",
    "train lm a.txt --out m --hidden-size many": "--hidden-size: 'many' is not a whole number",
    "train lm a.txt --out m --minutes soon": "--minutes: 'soon' is not a number",
    "train lm a.txt --out m --valid=": "the name of a FILE is empty",
    "doctor --json=yes": "'yes' is one word too many",
    "info m --nonsense": "there is no option --nonsense",
}

ON_A_TERMINAL = """
os.environ.pop("NO_COLOR", None)
os.environ.pop("COLUMNS", None)
os.environ.update({environment})
terminal = os.open({name!r}, os.O_RDWR)
for number in (0, 1, 2):
    os.dup2(terminal, number)
assert sys.stderr.isatty()
from elman.cli.main import main
for mistake in {mistakes}:
    assert main(mistake.split()) == 2
"""


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("environment", [{"TERM": "xterm-256color"}, {"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_a_usage_error_in_a_terminal_is_a_plain_line(start_elman, tmp_path, columns, environment):
    (tmp_path / "a.txt").write_text("a text\n" * 50)
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        given = {"environment": environment, "name": os.ttyname(theirs), "mistakes": list(MISTAKES)}
        code = start_elman("--version", before=ON_A_TERMINAL.format(**given)).wait().code
        printed = os.read(ours, 1 << 16).decode()
        assert code == 0, printed
    finally:
        os.close(ours)
        os.close(theirs)
    lines = printed.splitlines()
    for line, expected in zip(lines, MISTAKES.values(), strict=False):
        assert line.startswith("elman: ")
        assert expected in line
        assert line.isprintable()
        assert not set(line) & set("│╭╮╰╯─")
    assert len(lines) == len(MISTAKES) + 1, printed
