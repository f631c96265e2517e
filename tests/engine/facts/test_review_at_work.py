"""A review as a case: written, held against its facts, signed off; a number of nobody's goes nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from interlock.agents.load import load_agent
from interlock.domain.approvals.access import Identity
from interlock.engine.approvals import review_action
from interlock.errors import InputError, PolicyError
from interlock.ledger.audit.case_history import show_case
from reviews import AGENTS, POLICY, a_finding, finding_rows, measured, review_workflow
from servers.openai_like import OpenAILike

LEA = Identity("lea", "lea", ("user",))
MODEL = AGENTS.replace(
    "writer: {kind: report, template: prompts/review.yaml}",
    "writer: {kind: model, conn_id: llm, model: 'openai-chat:gpt-4o-mini', prompt: prompts/review.yaml}",
)


def test_a_written_review_passes_and_waits_for_people(tmp_path, sqlite_ledger):
    workflow = review_workflow(tmp_path, sqlite_ledger)
    workflow.up_to("report", finding_rows(a_finding(measured())))

    assert workflow.states() == {"R1": "waiting"}
    seen = review_action.see(sqlite_ledger, "R1")
    assert seen["execute"]["sections"][0]["heading"] == "Spend"


def test_a_sentence_with_a_number_of_its_own_is_withheld_and_the_review_goes_on(tmp_path, sqlite_ledger):
    sentences = "['All 7 vendors were on time.', \"{{ say('spend') }} were spent.\"]"
    template = f"review: {{sections: [{{heading: A, sentences: {sentences}}}]}}\n"
    workflow = review_workflow(tmp_path, sqlite_ledger, template=template)
    workflow.up_to("report", finding_rows(a_finding(measured())))

    assert workflow.states() == {"R1": "waiting"}
    written = review_action.see(sqlite_ledger, "R1")["execute"]
    assert [one["text"] for one in written["sections"][0]["sentences"]] == ["1,672.25 USD were spent."]
    assert [(one["what"], one["reason"]) for one in written["withheld"]] == [
        ("A sentence of 'A'", "it states a number or a time that its facts do not carry")
    ]


def test_an_edit_at_the_gate_is_held_against_the_facts_whatever_the_check_leads_to(tmp_path, sqlite_ledger):
    workflow = review_workflow(tmp_path, sqlite_ledger, policy=POLICY.replace("on_failure: stop", "on_failure: review"))
    workflow.up_to("report", finding_rows(a_finding(measured())))
    seen = review_action.see(sqlite_ledger, "R1")
    sections = seen["execute"]["sections"]

    def edit(text: str) -> dict[str, Any]:
        changed = [{**sections[0], "sentences": [{**sections[0]["sentences"][0], "text": text}]}]
        return review_action.edit(
            sqlite_ledger,
            "R1",
            person=LEA,
            changes={"sections": changed},
            seen_digest=seen["digest"],
            include=workflow.include,
        )

    with pytest.raises(InputError, match="'9,999 USD' is carried by none of its facts"):
        edit("Spend stood at 9,999 USD.")
    assert edit("Spend came to 1,672 USD.")["warnings"] == []
    draft = review_action.see(sqlite_ledger, "R1")["execute"]
    assert draft["sections"][0]["sentences"][0]["text"] == "Spend came to 1,672 USD."


@pytest.mark.parametrize(
    ("text", "state"), [("Spend stood at 1,672.25 USD.", "waiting"), ("Spend stood at 1,700 USD.", "dead")]
)
def test_a_model_may_write_it_and_its_numbers_are_held_against_the_facts(tmp_path, sqlite_ledger, text, state):
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    facts = measured()
    case = a_finding(facts)
    said = {
        "title": "Purchasing review",
        "period": case["period"],
        "as_of": case["as_of"],
        "sections": [{"heading": "Spend", "sentences": [{"text": text, "facts": [facts[0].id]}]}],
    }
    workflow = review_workflow(
        tmp_path, sqlite_ledger, agents=MODEL, template="Write of {% for f in case.facts %}{{ f.id }} {% endfor %}"
    )
    workflow.up_to("draft", finding_rows(case))
    with OpenAILike(said) as server:
        provider = OpenAIProvider(base_url=server.base_url, api_key="none")
        session = workflow.session("draft")
        agent = load_agent(
            "writer",
            session.version.bundle.agents["writer"],
            session.files,
            cache=tmp_path,
            resolve_model=lambda conn_id, model: OpenAIChatModel("gpt-4o-mini", provider=provider),
        )
        workflow.role("draft", agent=agent, session=session)
    workflow.validate()

    assert workflow.states() == {"R1": state}
    if state == "dead":
        assert "'1,700 USD' is carried by none" in show_case(sqlite_ledger, "R1")["case"]["reason"]


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (POLICY.replace("numbers: letter", "numbers: verdict"), "'verdict' is no contract with sections"),
        (POLICY.replace("numbers: letter", "numbers: letter, that: 'true'"), "either 'that' or 'numbers'"),
    ],
)
def test_a_check_that_cannot_work_is_refused_before_a_run_begins(tmp_path, sqlite_ledger, policy, told):
    with pytest.raises(PolicyError, match=told):
        review_workflow(tmp_path, sqlite_ledger, policy=policy).session("intake")
