"""Sending, reading, typing meanwhile, commands: by somebody who hears one line after the other."""

import json
from typing import Any

import pytest

from tests.linear.lines import Page, half, linear
from tests.support.command import Stepline
from tests.support.model_process import ModelProcess
from tui.drafts import Drafts


def tasks(stepline: Stepline) -> list[dict[str, Any]]:
    done = stepline.run("tasks", "list", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def half_answered(page: Page, gate: str) -> None:
    """Sends a message and waits until its answer's first line is there."""
    for line in half(gate):
        page.say(line)
    page.wait(r"^The first line\.\r$")


def quit_it(page: Page) -> None:
    page.say("/quit")
    assert page.terminal.wait_exit() == 0
    page.assert_plain()


def test_send_read_quit_and_come_back(stepline: Stepline):
    with linear(stepline) as page:
        assert "New conversation." in page.text
        page.say("say:Hello there")
        page.wait(r"^Sent; task #1, conversation 1\.\r$")
        page.wait(r"^Starting up: ")
        page.wait(r"^AI is thinking: Sending your message ")
        page.wait(r"^Assistant:\r$")
        page.wait(r"^Hello there\r$")
        page.wait(r"^Generated in [\d.]+s using test/model-1, 7 tokens\r$")
        page.wait(r"^> ")
        quit_it(page)
        assert page.text.count("Starting up") == 1
    with linear(stepline) as page:
        assert "Conversation 1: say:Hello there. 2 messages." in page.text
        assert "\nYou, " in page.text
        assert page.text.count("\nHello there\n") == 1
        quit_it(page)


def test_steps_and_whole_lines_come_while_it_runs(stepline: Stepline, model: ModelProcess):
    with linear(stepline) as page:
        half_answered(page, "whole-lines")
        assert "AI is thinking" in page.text
        assert "Generated" not in page.text
        model.open("whole-lines")
        page.wait("^" + "The second line. " * 3)
        page.wait(r"^Generated in")
        assert page.text.count("The first line.") == 2  # as it was typed, and in the answer
        quit_it(page)


def test_typing_while_an_answer_runs(stepline: Stepline, model: ModelProcess):
    with linear(stepline) as page:
        half_answered(page, "meanwhile")
        page.terminal.type("say:And ")
        page.wait("say:And ")
        page.say("this?")
        # Two answers: from now on it is said whose step it is, and whose text.
        page.wait(r"^Sent; task #2\. It waits for #1\.\r$")
        model.open("meanwhile")
        page.wait(r"^Assistant goes on, #1:\r\nThe second line\.")
        page.wait(r"^#1 Generated in")
        page.wait(r"^AI is thinking: ")
        page.wait(r"^Assistant:\r\nAnd this\?\r$")
        page.wait(r"^Generated in")
        quit_it(page)


def test_a_failure_names_the_command_that_retries(stepline: Stepline):
    with linear(stepline) as page:
        page.say("fail-once:401 say:try me again")
        page.wait(r"^Processing failed: .*API key.*\. /retry 1 tries again\.\r$")
        page.wait(r"^> ")
        page.say("/retry")
        page.wait(r"^Task #1 is tried again as #2\.\r$")
        page.wait(r"^AI is thinking: ")
        page.wait(r"^try me again\r$")
        page.wait(r"^Generated in")
        page.say("/retry")
        page.wait(r"^Nothing to retry")
        quit_it(page)
    assert [task["status"] for task in tasks(stepline)] == ["completed", "failed"]


def test_a_cut_answer_is_said_to_be_incomplete_and_retried_from_its_beginning(stepline: Stepline):
    with linear(stepline) as page:
        page.say("break say:one\\")
        page.say("two three four five six seven")
        page.wait(r"^Assistant:\r\none\r\n")
        page.wait(r"^The answer is incomplete\.\r$")
        page.wait(r"/retry 1 tries again\.\r$")
        page.say("/retry 1")
        page.wait(r"^Task #1 is tried again as #2\.\r$")
        page.wait(r"^Assistant:\r\none\r\n")
        page.wait(r"/retry 2 tries again\.\r$")
        quit_it(page)


def test_cancel_asks_once(stepline: Stepline):
    with linear(stepline) as page:
        half_answered(page, "never-opened")
        page.say("/cancel")
        page.wait(r"^Cancel task #1\?")
        page.say("n")
        page.wait(r"^Not done\.")
        page.say("/cancel #1")
        page.wait(r"^Cancel task #1\?")
        page.say("y")
        page.wait(r"^Cancelled by you\. /retry 1 tries again\.\r$")
        page.say("/cancel")
        page.wait(r"^Nothing runs here")
        quit_it(page)
    assert [task["status"] for task in tasks(stepline)] == ["cancelled"]


def test_commands(stepline: Stepline):
    with linear(stepline) as page:
        page.say("say:one")
        page.wait(r"^Generated in")
        page.say("/help")
        page.wait(r"^/new: New conversation\.")
        page.wait(r"^/retry \[N\]: Retry\. ")
        page.say("/tasks")
        page.wait(r"^#1 chat, completed, \d\d:\d\d, [\d.]+s: ")
        page.say("/task")
        page.wait(r"^status: completed\r$")
        page.wait(r"^step AI is thinking: done, [\d.]+s\r$")
        page.say("/task 99")
        page.wait(r"^There is no task 99")
        page.say("/task x")
        page.wait(r"^A number is needed here")
        page.say("/conversatoins")
        page.wait(r"^There is no command /conversatoins; did you mean /conversations\?")
        page.say("/new")
        page.wait(r"^New conversation\.\r\n> ")
        page.say("//say:two")
        page.wait(r"^Sent; task #2, conversation 2\.")
        page.wait(r"^two\r$")
        page.say("/conversations")
        page.wait(r"^2: /say:two, used \d\d:\d\d\r$")
        page.wait(r"^1: say:one, used \d\d:\d\d\r$")
        page.say("/conversations one")
        page.wait(r"^1: say:one, ")
        page.say("/open 1")
        page.wait(r"^Conversation 1: say:one\. 2 messages\.\r$")
        page.wait(r"^> ")
        page.say("/open 77")
        page.wait(r"^There is no conversation 77")
        quit_it(page)


def test_older_messages(stepline: Stepline):
    for number in range(4):
        options = ["-c", "1"] if number else []
        assert stepline.run("send", *options, f"say:answer {number}").returncode == 0
    with linear(stepline) as page:
        assert "Conversation 1: say:answer 0. 8 messages." in page.text
        assert "\nanswer 2\n" in page.text
        assert "\nanswer 1\n" not in page.text
        page.say("/more")
        page.wait(r"^4 messages before those:\r$")
        page.wait(r"^answer 0\r$")
        page.wait(r"^answer 1\r$")
        page.wait(r"^That was the first one\.\r$")
        page.say("/more")
        page.wait(r"^There are no older messages\.\r$")
        quit_it(page)


def test_an_answer_elsewhere_is_said_to_be_there(stepline: Stepline, model: ModelProcess):
    with linear(stepline) as page:
        half_answered(page, "elsewhere")
        page.say("/new")
        page.wait(r"^New conversation\.\r\n> ")
        model.open("elsewhere")
        page.wait(r"^#1 in conversation 1: Generated in .*\. /open 1 reads it\.\r$")
        page.say("/open 1")
        page.wait("^" + "The second line. " * 3)
        quit_it(page)


def test_coming_back_to_a_running_answer(stepline: Stepline, model: ModelProcess):
    with linear(stepline) as page:
        half_answered(page, "back")
        page.say("/quit")
        page.wait(r"^1 task is still running; it goes on without this terminal\.\r$")
        assert page.terminal.wait_exit() == 0
    with linear(stepline, ready=False) as page:
        page.wait(r"^Task #1 is working on the answer\.\r$")
        page.wait(r"^AI is thinking")
        page.wait(r"^The first line\.\r$")
        model.open("back")
        page.wait(r"^Generated in")
        quit_it(page)


def test_a_message_sent_from_elsewhere_is_read_out(stepline: Stepline):
    with linear(stepline) as page:
        page.say("say:mine")
        page.wait(r"^Generated in")
        assert stepline.run("send", "-c", "1", "say:not mine").returncode == 0
        page.wait(r"^You, \d\d:\d\d:\r\nsay:not mine\r$")
        page.wait(r"^not mine\r$")
        page.wait(r"^Generated in")
        assert page.text.count("say:mine") == 1  # as it was typed
        quit_it(page)


def test_hostile_text_is_harmless(stepline: Stepline):
    with linear(stepline) as page:
        page.say("hostile")
        page.wait(r"\[bold\]markup\[/bold\]")
        page.wait(r"^Generated in")
        quit_it(page)
        assert not {"\u202e", "\u2028"} & set(page.text)


@pytest.mark.parametrize(
    "variables",
    [{"TERM": "dumb"}, {"LANG": "C", "LC_ALL": "C"}, {"STEPLINE_LINEAR": "1", "TERM": "vt100"}],
    ids=["dumb", "locale", "setting"],
)
def test_plain_terminals(stepline: Stepline, variables: dict[str, str]):
    with linear(stepline.having(**variables)) as page:
        page.say("say:hello")
        page.wait(r"^Generated in")
        page.say("/help")
        page.wait(r"^/quit: Quit")
        page.say("/task")
        page.wait(r"^step Saving response")
        quit_it(page)
        assert page.text.isascii()


def test_what_the_full_screen_left_unsent_is_sent(stepline: Stepline, drafts: Drafts):
    from uuid import uuid4

    from tui.drafts import Letter

    drafts.post(Letter(uuid4(), None, "say:from last time"))
    drafts.save(None, "say:a draft")
    with linear(stepline, ready=False) as page:
        page.wait(r"^1 message not sent the last time; sending now\.\r$")
        page.wait(r"^A draft is kept here: say:a draft\r$")
        page.wait(r"^Sent; task #1, conversation 1\.\r$")
        page.wait(r"^from last time\r$")
        page.say("/draft")
        page.wait(r"^Sent; task #2\.\r$")
        page.wait(r"^a draft\r$")
        page.say("/draft")
        page.wait(r"^There is no draft here\.\r$")
        quit_it(page)
    assert drafts.undelivered() == []
    assert drafts.load(1) == ""


def test_a_line_that_the_terminal_cut_is_not_sent(stepline: Stepline, drafts: Drafts):
    with linear(stepline) as page:
        page.say("say:" + "x" * 5000)
        page.wait(r"^Not sent: the line is as long as the terminal lets a line be")
        page.say("/tasks")
        page.wait(r"^No tasks\.")
        quit_it(page)
    assert drafts.load(None).startswith("say:xxx")
