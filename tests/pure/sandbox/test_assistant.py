"""The short charter assistant that the simulated model plays."""

import json
from typing import Any

import pytest

from deploy.sandbox.model.assistant import Answer, answer
from deploy.sandbox.model.requests import ChatRequest, read_chat_request
from deploy.sandbox.model.trip_facts import Leg, read_trip_facts
from services.gateway.titles.asking import Beginning
from shared.ids import new_id
from tests.pure.gateway.samples import NOON

CREATE_TRIP = {"type": "function", "function": {"name": "create_trip", "parameters": {"type": "object"}}}


def request(*messages: dict[str, Any], **fields: Any) -> ChatRequest:
    return read_chat_request(json.dumps({"model": "sandbox-small", "messages": messages, **fields}).encode())


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def called(answered: Answer) -> list[dict[str, Any]]:
    """Return the messages a caller adds after the answer's tool calls."""
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in answered.tools
    ]
    results = [{"role": "tool", "tool_call_id": call.id, "content": '{"ok": true}'} for call in answered.tools]
    return [{"role": "assistant", "content": None, "tool_calls": calls}, *results]


@pytest.mark.parametrize(
    ("texts", "legs", "pax"),
    [
        (["KTEB to KVNY on 2030-05-04 for 6 passengers"], [("KTEB", "KVNY", "2030-05-04")], 6),
        (["from New York to Palm Beach", "May 4th, 2030", "six people"], [("KTEB", "KPBI", "2030-05-04")], 6),
        (["fly me to KPBI from kteb, 4 Sept 2030", "6"], [("KTEB", "KPBI", "2030-09-04")], 6),
        (["KTEB-KVNY-KLAS 2030-01-02, pax: 3"], [("KTEB", "KVNY", "2030-01-02"), ("KVNY", "KLAS", "2030-01-02")], 3),
        (
            ["Paris to Nice, round trip, 2030-05-04 and 2030-05-08 for two"],
            [("LFPB", "LFMN", "2030-05-04"), ("LFMN", "LFPB", "2030-05-08")],
            2,
        ),
        (["KTEB to KVNY 2030-05-04, 4 pax", "rather 2030-05-05 and 5 pax"], [("KTEB", "KVNY", "2030-05-05")], 5),
        (["leaving Teterboro", "going to KVNY", "2030-02-30"], [("KTEB", "KVNY", None)], None),
        (["hello"], [], None),
    ],
)
def test_facts_are_read_from_all_user_texts(
    texts: list[str], legs: list[tuple[str, str, str | None]], pax: int | None
) -> None:
    facts = read_trip_facts(texts)

    assert facts.legs == tuple(Leg(*leg) for leg in legs)
    assert facts.pax == pax


def test_assistant_asks_for_all_that_is_missing() -> None:
    text = answer(request(user("hello"))).text

    assert "the route, the date (with its year) and the number of passengers" in text


def test_assistant_notes_what_it_knows_and_asks_for_the_rest() -> None:
    text = answer(request(user("KTEB to KVNY"), assistant("?"), user("for 6"))).text

    assert text == "Noted: KTEB to KVNY, 6 passengers. Please tell me the date (with its year)."


def test_return_date_is_asked_for() -> None:
    text = answer(request(user("round trip KTEB to KVNY on 2030-05-04 for 6"))).text

    assert text.endswith("Please tell me the return date.")


def test_complete_request_without_tools_is_summed_up() -> None:
    answered = answer(request(user("KTEB to KVNY on 2030-05-04 for 1 passenger")))

    assert answered.text == (
        "I have everything I need: KTEB to KVNY on 2030-05-04, 1 passenger. The request is complete."
    )
    assert answered.finish_reason == "stop"


def test_complete_request_calls_the_trip_tool_with_what_was_said() -> None:
    answered = answer(request(user("KTEB to KVNY on 2030-05-04 for 6"), tools=[CREATE_TRIP]))

    [call] = answered.tools
    assert answered.text == ""
    assert answered.finish_reason == "tool_calls"
    assert call.name == "create_trip"
    assert json.loads(call.arguments) == {
        "segments": [{"from": "KTEB", "to": "KVNY", "date": "2030-05-04"}],
        "pax": 6,
    }


def test_tool_of_another_name_is_called_if_it_takes_a_trip() -> None:
    tool = {"type": "function", "function": {"name": "ask", "parameters": {"properties": {"segments": {}, "pax": {}}}}}
    other = {"type": "function", "function": {"name": "weather"}}

    answered = answer(request(user("KTEB to KVNY on 2030-05-04 for 6"), tools=[other, tool]))

    assert [call.name for call in answered.tools] == ["ask"]


@pytest.mark.parametrize("fields", [{"tools": [CREATE_TRIP], "tool_choice": "none"}, {"tools": []}, {"tools": None}])
def test_no_tool_is_called_that_was_not_offered(fields: dict[str, Any]) -> None:
    assert answer(request(user("KTEB to KVNY on 2030-05-04 for 6"), **fields)).tools == ()


def test_tool_result_is_told() -> None:
    said = user("KTEB to KVNY on 2030-05-04 for 6")
    first = answer(request(said, tools=[CREATE_TRIP]))

    answered = answer(request(said, *called(first), tools=[CREATE_TRIP]))

    assert answered.text == 'Done. create_trip answered: {"ok": true}'
    assert answered.tools == ()


@pytest.mark.parametrize("keeps_calls", [True, False])
def test_trip_is_requested_once(keeps_calls: bool) -> None:
    said = user("KTEB to KVNY on 2030-05-04 for 6")
    calls = [*called(answer(request(said, tools=[CREATE_TRIP]))), assistant("Anything else?")]
    past = [said, *(calls if keeps_calls else [assistant("Done. create_trip answered: {}")])]

    assert answer(request(*past, user("thank you"), tools=[CREATE_TRIP])).tools == ()
    assert len(answer(request(*past, user("please try again"), tools=[CREATE_TRIP])).tools) == 1
    [changed] = answer(request(*past, user("8 passengers, sorry"), tools=[CREATE_TRIP])).tools
    assert json.loads(changed.arguments)["pax"] == 8


def test_directives_of_earlier_messages_are_no_facts() -> None:
    order = '[tool create_trip {"from": "KAAA to KBBB on 2031-01-01 for 9"}]'

    text = answer(request(user("[echo KTEB to KVNY]" + order), assistant("x"), user("hello"))).text

    assert text.startswith("I can arrange a charter flight.")


def test_answer_depends_on_the_messages_alone() -> None:
    said = user("[tool look {}] now")

    assert answer(request(said)) == answer(request(said, model="sandbox-large", stream=True, user="u"))
    assert answer(request(said)).tools[0].id != answer(request(said, assistant("x"), said)).tools[0].id


def test_text_before_a_tool_call_goes_with_it_and_text_behind_follows_its_result() -> None:
    said = user("[echo before][tool a {}][tool b {}][echo after]")
    first = answer(request(said))
    second = answer(request(said, *called(first)))

    assert (first.text, [call.name for call in first.tools]) == ("before", ["a", "b"])
    assert len({call.id for call in first.tools}) == 2
    assert (second.text, second.tools) == ("after", ())


def test_rounds_repeat_the_tool_call() -> None:
    messages = [user("[rounds 3][tool a {}]")]
    rounds = 0
    while answered := answer(request(*messages)):
        if not answered.tools:
            break
        rounds += 1
        messages += called(answered)

    assert rounds == 3
    assert answered.text.startswith("Done. a answered:")


def test_recall_recites_every_user_text_in_order() -> None:
    parts = {
        "role": "user",
        "content": [{"type": "text", "text": "wo"}, {"type": "image_url"}, {"type": "text", "text": "rds"}],
    }
    asked = request({"role": "system", "content": "s"}, user("ünö"), assistant("a"), parts, user("[recall]"))

    assert json.loads(answer(asked).text) == ["ünö", "words", "[recall]"]


def test_own_answer_grows_to_the_chunks_ordered() -> None:
    text = answer(request(user("[chunks 50] hello"))).text

    assert len(text.split()) == 50
    assert answer(request(user("[chunks 50][echo hi]"))).text == "hi"


def test_a_conversation_without_user_is_answered() -> None:
    assert answer(request({"role": "system", "content": "[echo x]"})).text.startswith("I can arrange")


QUOTING = [
    CREATE_TRIP,
    *({"type": "function", "function": {"name": name}} for name in ("list_quotes", "prepare_proposal")),
]
QUOTES = {
    "quotes": [
        {"quote_id": "q1", "operator": "Op A", "aircraft": "Citation", "price": "100.00", "currency": "USD"},
        {
            "quote_id": "q2",
            "operator": "Op B",
            "aircraft": "Lear",
            "price": "9.00",
            "currency": "USD",
            "is_estimate": True,
        },
    ]
}


def answered_with(answered: Answer, result: Any) -> list[dict[str, Any]]:
    """Return the messages that follow a call, with this result below a sentence."""
    asking, *results = called(answered)
    return [asking, *({**each, "content": f"Information:\n{json.dumps(result)}"} for each in results)]


def test_asked_about_quotes_it_looks_and_says_what_operators_stand_to() -> None:
    said = user("What have the operators quoted?")
    looks = answer(request(said, tools=QUOTING))
    assert [(call.name, call.arguments) for call in looks.tools] == [("list_quotes", '{"trip": null}')]
    told = answer(request(said, *answered_with(looks, QUOTES), tools=QUOTING))
    assert (told.text, told.tools) == ("Quoted so far: Op A with a Citation for 100.00 USD.", ())
    nothing = answer(request(said, *answered_with(looks, {"quotes": []}), tools=QUOTING))
    assert nothing.text == "No operator has quoted yet."


def test_a_proposal_is_prepared_from_what_operators_stand_to() -> None:
    said = user("Prepare a proposal from that, at a margin of 7.5 %.")
    looks = answer(request(said, tools=QUOTING))
    seen = answered_with(looks, QUOTES)
    prepares = answer(request(said, *seen, tools=QUOTING))
    [call] = prepares.tools
    assert call.name == "prepare_proposal"
    assert json.loads(call.arguments) == {"trip": None, "quote_ids": ["q1"], "margin_percent": 7.5, "note": None}
    made = answered_with(prepares, {"options": [{"client_price": "107.50 USD"}]})
    told = answer(request(said, *seen, *made, tools=QUOTING))
    assert (told.text, told.tools) == ("The proposal is prepared, for 107.50 USD. Nothing is sent yet.", ())


def test_of_a_trip_that_was_made_it_says_which_and_where() -> None:
    said = user("KTEB to KVNY on 2030-05-04 for 6")
    orders = answer(request(said, tools=QUOTING))
    made = answered_with(orders, {"trip_code": "S1", "deep_link": "http://sim/1", "step": "searching_aircraft"})
    told = answer(request(said, *made, tools=QUOTING))
    assert told.text == "Done. create_trip answered: trip S1. Its operators are chosen at http://sim/1"


def test_without_the_tools_it_speaks_of_trips_alone() -> None:
    answered = answer(request(user("What have the operators quoted?"), tools=[CREATE_TRIP]))
    assert answered.tools == ()
    assert answered.text.startswith("I can arrange")


@pytest.mark.parametrize(
    ("question", "title"),
    [
        (
            "Please fly me from New York to Palm Beach, 4 May 2030, six people",
            "KTEB to KPBI on 2030-05-04, 6 passengers",
        ),
        ("what does an empty leg cost these days?", "what does an empty leg cost"),
        ("[echo Ordered] and more", "Ordered"),
    ],
)
def test_a_title_names_the_trip_or_the_first_words(question: str, title: str) -> None:
    beginning = Beginning("u", "s", new_id(), new_id(), NOON, question, "When, and how many are you?")
    assert answer(request(*beginning.messages())).text == title
