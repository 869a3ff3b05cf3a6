"""What is printed where: progress only for people, plain text in a pipe."""

from __future__ import annotations

import sys

import pytest

from hwsim.cli import terminal


def test_there_is_no_progress_in_a_pipe(capfd: pytest.CaptureFixture[str]) -> None:
    with terminal.progress("work") as show:
        assert show is None
    assert capfd.readouterr() == ("", "")


def test_progress_is_shown_on_standard_error_alone(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with terminal.progress("work") as show:
        assert show is not None
        show(0.5, "half of it")
    out, err = capfd.readouterr()
    assert out == ""
    assert "half of it" in err


def test_json_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        terminal.json_text({"value": float("nan")})


def test_brackets_are_text_and_no_markup(capfd: pytest.CaptureFixture[str]) -> None:
    terminal.print_rich("in [bold]folder[/bold] :smile:")
    terminal.print_table(["[red]name"], [["[/]"]])
    out = capfd.readouterr().out
    assert "in [bold]folder[/bold] :smile:" in out
    assert "[red]name" in out
    assert "[/]" in out


def test_numbers_stand_to_the_right_and_words_to_the_left(
    capfd: pytest.CaptureFixture[str],
) -> None:
    terminal.print_table(["what", "how much"], [["a", "1,000 B"], ["bb", "2 B"]])
    lines = capfd.readouterr().out.splitlines()
    assert lines[-2:] == [" a       1,000 B", " bb          2 B"]


def test_lines_have_no_blanks_at_their_end(capfd: pytest.CaptureFixture[str]) -> None:
    terminal.print_table(["a", "b"], [["x", ""], ["longer", "y"]])
    lines = capfd.readouterr().out.splitlines()
    assert lines
    assert [line for line in lines if line != line.rstrip()] == []
