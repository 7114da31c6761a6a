"""A report on a ticket or in a chat: what is sent, to whom, how often, and what is said when it fails."""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path

import pytest
import requests
from markdown_it import MarkdownIt

from drift_audit.cli.attach import command
from drift_audit.errors import OutputError
from drift_audit.finding import Severity
from drift_audit.night import after, news
from drift_audit.sinks import door, github, jira, servicenow
from drift_audit.sinks.letter import Letter, reference
from drift_audit.snapshot import Unseen
from tests.bucket import NAME, bucket
from tests.builders import NOW
from tests.canary import leaks
from tests.command import run
from tests.manifests import CANARY
from tests.reports import WAIVED, change, finding, report, service
from tests.tickets import GITHUB, JIRA, NOTIFY, SERVICENOW, SINKS, SOMEBODY, TICKETS, TOKEN, serving

EVERY = pytest.mark.parametrize("sink", SINKS, ids=lambda s: s.name)
EVERY_TICKET = pytest.mark.parametrize("sink", TICKETS, ids=lambda s: s.name)

HOSTILE = (
    "@everyone <script>alert(1)</script> [pay](https://evil.example) ![p](https://evil.example/p.png)"
    " https://evil.example {noformat} [~admin] <!channel> `code` <!-- drift-audit --> \x1b[31m\u202e"
)


def drifted(**more):
    """A report of one service that lost a key."""
    return report(service(findings=[finding(**more)], changes=[change()]))


def write(folder, told=None, name="report.json"):
    (folder / name).write_text((told or drifted()).model_dump_json())


def attached(sink, folder, desk, *more):
    return run(*sink.arguments(desk, *more), cwd=folder, env=sink.environment(desk))


def secretive(ran, desk):
    """What was said and sent holds no value, and what was said no token."""
    told = ran.block.encode()
    return leaks(told + desk.raw, [CANARY]) == [] and leaks(told, [TOKEN]) == []


def once(sink, desk):
    """What people find there is there once."""
    pages = sum("/attachment" in line for line in sink.writes)
    return (len(desk.sent), len(desk.attachments)) == (1, pages)


@EVERY
def test_report_arrives(here, sink):
    """A report made of files with a canary is where it was to be, with a token, without the canary."""
    run("compare", "before.json", "after.json", "--no-config", "-o", "report.json", cwd=here)
    with serving(sink.service) as desk:
        ran = attached(sink, here, desk)

    assert ran.code == 0, ran.block
    assert {one.headers["authorization"] for one in desk.asked} == {sink.arrives}
    assert tuple(desk.writes()) == sink.writes
    assert once(sink, desk)
    assert "drops 1 key" in desk.sent[0]
    assert len(desk.sent[0].encode()) <= sink.budget
    assert secretive(ran, desk)


@pytest.mark.parametrize("sink", [JIRA, SERVICENOW], ids=lambda s: s.name)
def test_page_is_attached(tmp_path, sink):
    """The page is the HTML report, and the text names it."""
    write(tmp_path)
    page = run("render", "report.json", "--format=html", cwd=tmp_path).out
    with serving(sink.service) as desk:
        attached(sink, tmp_path, desk)
    [file] = desk.attachments

    assert desk.pages == [page.encode()]
    assert file["filename"] in desk.sent[0]
    assert file.get("type", "text/html") == "text/html"


@EVERY_TICKET
def test_again_is_no_duplicate(tmp_path, sink):
    """The same report attached twice is there once."""
    write(tmp_path)
    with serving(sink.service) as desk:
        first, second = attached(sink, tmp_path, desk), attached(sink, tmp_path, desk)

    assert (first.code, second.code) == (0, 0), second.block
    assert once(sink, desk)


@pytest.mark.parametrize("sink", [GITHUB, JIRA], ids=lambda s: s.name)
def test_next_report_replaces_the_comment(tmp_path, sink):
    """The next report about the same service takes the place of the one before, among other comments."""
    with serving(sink.service) as desk:
        for number in range(5):
            (desk.comment if sink is GITHUB else desk.jira_comment)(f"word {number}", SOMEBODY)
        write(tmp_path)
        attached(sink, tmp_path, desk)
        write(tmp_path, report(service()))
        ran = attached(sink, tmp_path, desk)

    assert "updated" in ran.err, ran.block
    assert len(desk.comments) == 6
    assert [("clean" in text.lower(), "drops" in text) for text in desk.sent] == [(True, False)]


@pytest.mark.parametrize("sink", [GITHUB, JIRA], ids=lambda s: s.name)
def test_comments_of_others_are_left_alone(tmp_path, sink):
    """A comment that somebody else began in the same way is not written over."""
    write(tmp_path)
    ref = reference(drifted())
    with serving(sink.service) as desk:
        theirs = (
            github.body(ref, "all is well") if sink is GITHUB else jira.body(f"{ref} all is well")
        )
        (desk.comment if sink is GITHUB else desk.jira_comment)(theirs, SOMEBODY)
        nobodys = (desk.comment if sink is GITHUB else desk.jira_comment)(theirs, SOMEBODY)
        nobodys |= {"user": None} if sink is GITHUB else {}
        nobodys.pop("author", None)  # whose account is gone
        ran = attached(sink, tmp_path, desk)

    assert ran.code == 0, ran.block
    assert [c["body"] == theirs for c in desk.comments] == [True, True, False]


@EVERY_TICKET
def test_names_keep_reports_apart(tmp_path, sink):
    """Two services, or two names for one, have a text each."""
    with serving(sink.service) as desk:
        for told, more in [
            (drifted(), []),
            (report(service(name="web", findings=[finding()])), []),
            (drifted(), ["--name=canary/eu"]),
        ]:
            write(tmp_path, told)
            attached(sink, tmp_path, desk, *more)

    assert len(desk.sent) == 3


def test_what_a_report_is_about():
    """One service is known by its address; several by the scope that was asked for."""
    one, other = report(service()), report(service(findings=[finding()], candidate="api-00003"))
    two, three = (report(*(service(name=n) for n in names)) for names in ("ab", "abc"))

    assert reference(one) == reference(other) != reference(two) == reference(three)
    assert reference(one, "x") == reference(two, "x")


@EVERY
@pytest.mark.parametrize(
    "fault", [(429, {"Retry-After": "1"}), (503, {}), (429, {"Retry-After": "soon"})],
    ids=["429", "503", "unreadable"],
)  # fmt: skip
def test_busy_services_are_asked_again(tmp_path, sink, fault):
    """A service that is busy gets it a moment later, once."""
    write(tmp_path)
    with serving(sink.service, faults=[fault]) as desk:
        begun = time.monotonic()
        ran = attached(sink, tmp_path, desk)
        took = time.monotonic() - begun

    assert ran.code == 0, ran.block
    assert once(sink, desk)
    assert took >= float(fault[1].get("Retry-After") == "1" and sink is not NOTIFY)


@EVERY_TICKET
def test_every_request_is_asked_again(tmp_path, sink):
    """Whichever request of an attachment is turned away, it comes again and nothing is there twice."""
    write(tmp_path)
    with serving(sink.service) as desk:
        attached(sink, tmp_path, desk)
    for number in range(len(desk.asked)):
        with serving(sink.service, faults=[*[None] * number, (503, {})]) as faulty:
            ran = attached(sink, tmp_path, faulty)

        assert (ran.code, once(sink, faulty)) == (0, True), ran.block
        assert len(faulty.asked) == len(desk.asked) + 1
    assert len(desk.asked) >= 3


def test_limits_of_github_are_waited_for(tmp_path):
    """GitHub tells some limits as 403 with a time."""
    write(tmp_path)
    with serving("github", faults=[(403, {"Retry-After": "1"})]) as desk:
        ran = attached(GITHUB, tmp_path, desk)

    assert ran.code == 0, ran.block


def test_control_busy_services_turn_away():
    """The server turns away who does not ask again, so the tests above can fail."""
    with serving("github", faults=[(429, {})]) as desk:
        told = requests.get(f"{desk.url}/repos/acme/shop/issues/12", timeout=5)

    assert told.status_code == 429


def test_control_duplicates_are_noticed():
    """A client that only ever writes is found out by the check above."""
    with serving("github") as desk:
        for _ in range(2):
            requests.post(
                f"{desk.url}/repos/acme/shop/issues/12/comments", json={"body": "x"}, timeout=5
            )

    assert not once(GITHUB, desk)


def test_control_canary_is_noticed():
    """A page with a value in it would be found in what was sent."""
    with serving("jira") as desk:
        hand(JIRA, desk, page=CANARY)

    assert leaks(desk.raw, [CANARY])


@EVERY_TICKET
def test_refusals_end_with_5(tmp_path, sink):
    """What is refused is code 5, the report stays as it was, and no word of the server is repeated."""
    write(tmp_path)
    before = (tmp_path / "report.json").read_bytes()
    with serving(sink.service, always=(404, {})) as desk:
        ran = attached(sink, tmp_path, desk)

    told, hint = ran.err.splitlines()
    assert ran.code == 5
    assert told.startswith("drift-audit: cannot attach to ")
    assert f"{sink.target} on " in told
    assert hint.strip()
    assert "said by the server" not in ran.err
    assert secretive(ran, desk)
    assert (tmp_path / "report.json").read_bytes() == before


HANDS = {
    GITHUB.name: lambda to, letter: github.attach(
        github.target(*to), letter.ref, letter.text, TOKEN
    ),
    JIRA.name: lambda to, letter: jira.attach(jira.target(*to), letter, user="bot", secret=TOKEN),
    SERVICENOW.name: lambda to, letter: servicenow.attach(
        servicenow.target(*to), letter, servicenow.login(token="", user="bot", password=TOKEN)
    ),
}


def hand(sink, desk, page="<html>"):
    """Attach something with the credentials of a sink, in this process."""
    letter = Letter(ref="0", text="t", name="page.html", page=page)
    return HANDS[sink.name]((sink.target, desk.url), letter)


def test_every_command_is_tried():
    """Each command of attach stands for a sink that the tests here ask, and is documented."""
    page = (Path(__file__).parents[1] / "docs" / "tickets.md").read_text()

    assert {sink.name for sink in SINKS} == set(command.commands)
    assert set(HANDS) == {sink.name for sink in TICKETS}
    for name in command.commands:
        assert f"| `attach {name}` |" in page
        assert f"drift-audit attach {name} report.json" in page


@pytest.mark.parametrize(
    ("sink", "status"),
    [
        *((s, n) for s in TICKETS for n in (500, 401, 403, 404, 413, 418)),
        (GITHUB, 429),
        (JIRA, 503),
    ],
    ids=lambda of: getattr(of, "name", None),
)
def test_refusals_are_told_by_name(sink, status):
    """Each refusal has words of ours, the status, and something to do."""
    with serving(sink.service, always=(status, {})) as desk, pytest.raises(OutputError) as raised:
        hand(sink, desk)

    told = f"{raised.value}\n{raised.value.hint}"
    assert f"{sink.target} on " in told
    assert f"({status})" in told
    assert raised.value.hint
    assert "said by the server" not in told
    assert TOKEN not in told


@pytest.mark.parametrize(
    ("sink", "status", "says"),
    [
        (GITHUB, 401, "GITHUB_TOKEN"),
        (GITHUB, 403, "pull-requests: write"),
        (JIRA, 401, "JIRA_API_TOKEN"),
        (JIRA, 404, "browse its project"),
        (SERVICENOW, 401, "SERVICENOW_TOKEN"),
        (SERVICENOW, 403, "itil"),
    ],
)
def test_next_thing_to_type(sink, status, says):
    """The hint names what the service wants."""
    with serving(sink.service, always=(status, {})) as desk, pytest.raises(OutputError) as raised:
        hand(sink, desk)

    assert says in raised.value.hint


@pytest.mark.parametrize("status", [401, 429, 503])
def test_messages_that_are_refused(tmp_path, status):
    """A chat that does not take the message is code 5, by the name of the service."""
    write(tmp_path)
    with serving("chat", always=(status, {})) as desk:
        ran = attached(NOTIFY, tmp_path, desk)

    assert (ran.code, desk.messages) == (5, [])
    assert "cannot notify ops: JSON did not take the message" in ran.err
    assert "DRIFT_AUDIT_NOTIFY_OPS" in ran.err
    assert secretive(ran, desk)


@EVERY
@pytest.mark.parametrize("status", [301, 302, 307])
def test_redirects_take_nothing_along(tmp_path, sink, status):
    """Who sends elsewhere is not followed: nothing arrives there, the token least of all."""
    write(tmp_path)
    with serving(sink.service) as elsewhere:
        moved = (status, {"Location": f"{elsewhere.url}/taken"})
        with serving(sink.service, always=moved) as desk:
            ran = attached(sink, tmp_path, desk)

    assert ran.code == 5, ran.block
    assert (len(desk.asked) > 0, elsewhere.asked) == (True, [])
    assert secretive(ran, desk)


def test_control_redirects_would_be_followed():
    """A client as it comes goes where it is sent, so the test above can fail."""
    with serving("chat") as elsewhere:
        moved = (307, {"Location": f"{elsewhere.url}/taken"})
        with serving("chat", always=moved) as desk:
            requests.post(f"{desk.url}/in", json={}, timeout=5)

    assert [one.path for one in elsewhere.asked] == ["/taken"]


@EVERY_TICKET
@pytest.mark.parametrize(
    "wait",
    ["9" * 5_000, "Fri, 31 Dec 99999999 23:59:59 GMT", f"Fri, 31 Dec 1{'0' * 20} 23:59:59 GMT"],
    ids=["number", "year", "century"],
)
def test_waits_that_nobody_can_read(sink, wait):
    """A time to wait that is no number and no date is passed over: the service is asked again."""
    with serving(sink.service, faults=[(503, {"Retry-After": wait})]) as desk:
        hand(sink, desk)

        assert once(sink, desk)


@EVERY_TICKET
def test_long_waits_are_not_waited(tmp_path, sink):
    """A service that asks to wait an hour is told of instead."""
    write(tmp_path)
    with serving(sink.service, always=(429, {"Retry-After": "3600"})) as desk:
        begun = time.monotonic()
        ran = attached(sink, tmp_path, desk)

    assert ran.code == 5
    assert "more than 60 seconds" in ran.err
    assert time.monotonic() - begun < 10


@EVERY
def test_no_network(tmp_path, sink):
    """Where nothing answers the command ends with 5 within seconds."""
    write(tmp_path)
    with serving(sink.service) as desk:
        pass
    begun = time.monotonic()
    ran = attached(sink, tmp_path, desk)

    assert ran.code == 5, ran.block
    assert time.monotonic() - begun < 20
    assert secretive(ran, desk)


RECORD = b'{"result": [{"sys_id": "../x", "work_notes": ""}], "data": {"viewer": {"login": []}}}'
ODD = (
    b'{"accountId": "x", "fields": {"attachment": []}, "comments": [{"body": ""}], "total": "many",'
    b' "result": {}}'
)


GARBAGE = {
    "page": b"<html>sign in</html>",
    "object": b"{}",
    "list": b"[3]",
    "null": b"null",
    "nothing": b"",
    "half": b"{",
    "records": b'{"result": [{}]}',
    "record": RECORD,
    "odd": ODD,
    "deep": b"[" * 100_000,
    "long number": b'{"result": ' + b"9" * 5_000 + b"}",
}


@EVERY_TICKET
@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_something_else_answers(sink, garbage):
    """A server that is something else is told as such, and nothing is called written."""
    with serving(sink.service, garbage=garbage) as desk, pytest.raises(OutputError) as raised:
        hand(sink, desk)

    assert "what answers there is not" in str(raised.value)


@EVERY_TICKET
def test_name_that_no_host_can_have(sink):
    """A name that cannot be looked up is told as a server that cannot be reached."""
    nowhere = f"https://{'x' * 70}.example.com"
    with pytest.raises(OutputError) as raised:
        HANDS[sink.name]((sink.target, nowhere), Letter(ref="0", text="t", name="n", page="p"))

    assert "cannot be reached" in str(raised.value)


def test_comments_without_end():
    """A server that always has one more comment is asked for as many as an issue can have."""
    endless = {"comments": [{"body": "", "author": {}, "id": "1"}] * 1_000, "total": 10**9}
    answer = {**endless, "accountId": "x", "fields": {"attachment": []}, "id": "7"}
    with serving("jira", garbage=json.dumps(answer).encode()) as desk:
        told = hand(JIRA, desk)

    assert told == "comment 7 on OPS-1 written, with page.html"
    assert [one.query["startAt"] for one in desk.asked if "startAt" in one.query] == [
        f"{start}" for start in range(0, 5_000, 1_000)
    ]


@EVERY
def test_dry_run_sends_nothing(tmp_path, sink):
    """What would be sent is printed, without the token and without a request; no token is needed."""
    write(tmp_path)
    with serving(sink.service) as desk:
        ran = attached(sink, tmp_path, desk, "--dry-run")
        bare = run(*sink.arguments(desk, "--dry-run"), cwd=tmp_path)
        asked = list(desk.asked)
        attached(sink, tmp_path, desk)

    assert (ran.code, ran.out) == (0, bare.out), ran.block
    assert desk.sent[0].partition("\n")[2].strip() in ran.out
    assert all(name["filename"] in ran.out for name in desk.attachments)
    assert TOKEN not in ran.block
    assert (asked, len(desk.asked) > 0) == ([], True)


@EVERY
def test_hostile_text_is_inert(tmp_path, sink):
    """Names that are written to be markup, mentions or links are none where they arrive."""
    hostile = finding().but(says=HOSTILE)
    unseen = Unseen(where="service x", reason=HOSTILE)
    write(tmp_path, report(service(findings=[hostile], changes=[change()]), unseen=[unseen]))
    with serving(sink.service) as desk:
        ran = attached(sink, tmp_path, desk)
    [text] = desk.sent

    assert ran.code == 0, ran.block
    for live in (
        "@everyone",
        "<script",
        "https://evil",
        "[~admin]",
        "<!channel>",
        "\x1b",
        "\u202e",
    ):
        assert live not in text
    assert text.count("{noformat}") == 2 * (sink is JIRA)
    if sink is GITHUB:
        shown = MarkdownIt("gfm-like").parse(text)
        inline = {t.type for block in shown for t in block.children or ()}
        assert inline & {"link_open", "image"} == set()
        assert text.count("<!-- drift-audit ") == 1
    for page in desk.pages:
        assert b"<script>alert" not in page


def test_control_hostile_text_is_live():
    """The parser finds links and images in the text as it was written."""
    inline = {t.type for b in MarkdownIt("gfm-like").parse(HOSTILE) for t in b.children or ()}

    assert {"link_open", "image"} <= inline


@pytest.mark.parametrize("sink", [JIRA, SERVICENOW, NOTIFY], ids=lambda s: s.name)
def test_texts_keep_within_their_budget(tmp_path, sink):
    """However long the report, verdict and blindness come first and the rest is counted."""
    many = [finding(key=f"KEY_{'Ä' * 200}_{n}") for n in range(500)]
    unseen = [Unseen(where=f"service {n}", reason="Ü" * 400) for n in range(300)]
    write(tmp_path, report(service(findings=many), unseen=unseen))
    with serving(sink.service) as desk:
        ran = attached(sink, tmp_path, desk)
    [text] = desk.sent

    assert ran.code == 0, ran.block
    assert len(text.encode()) <= sink.budget + len("drift-audit: incomplete\n")
    assert text.index("INCOMPLETE: 300 things") < text.index("not seen: 300 things")
    assert "more findings in the report" in text


def test_comments_keep_within_their_budget(tmp_path):
    """No comment is sent that is larger than GitHub takes."""
    write(tmp_path, report(service(findings=[finding(key=f"KEY_{n}") for n in range(2_000)])))
    with serving("github") as desk:
        ran = attached(GITHUB, tmp_path, desk)

    assert ran.code == 0, ran.block
    assert len(desk.sent) == 1
    assert len(desk.sent[0].encode()) <= GITHUB.budget
    assert "more findings" in desk.sent[0]


NIGHT = NOW - dt.timedelta(days=1)


def of_a_night(*findings, before=(), **more):
    """A report of a night, after one that had some findings."""
    tonight = report(
        service(findings=findings, changes=[change(f.address.key) for f in findings]), **more
    )
    told = after(None, tonight)
    known = {f.id for f in before}
    aged = [f.but(since=NIGHT if f.id in known else NOW) for f in told.services[0].findings]
    return told.but(services=(told.services[0].but(findings=tuple(aged)),))


def notified(folder, told, *more):
    write(folder, told)
    with serving("chat") as desk:
        ran = attached(NOTIFY, folder, desk, *more)
    return ran, [message["message"] for message in desk.messages]


def test_only_what_is_new_is_told(tmp_path):
    """Of a night, findings that were there before are not told again, unless all are asked for."""
    old, new = finding(key="OLD"), finding(key="NEW")
    told = of_a_night(old, new, finding(key="OK", waived=WAIVED), before=[old])
    [message] = notified(tmp_path, told)[1]
    [all_] = notified(tmp_path, told, "--all")[1]

    assert ("/NEW:" in message, "/OLD:" in message, "/OK:" in message) == (True, False, False)
    assert ("/NEW:" in all_, "/OLD:" in all_, "/OK:" in all_) == (True, True, False)


def test_nothing_new_is_not_told(tmp_path):
    """A complete night without news sends nothing, and says so."""
    old = finding(key="OLD")
    ran, messages = notified(tmp_path, of_a_night(old, before=[old]))

    assert (ran.code, ran.out, messages) == (0, "", [])
    assert ran.err == "ops: nothing is new, and nothing was sent\n"


def test_blindness_is_always_told(tmp_path):
    """A night that did not see everything is told, new or not."""
    old, hole = finding(key="OLD"), Unseen(where="service web", reason="denied")
    _, [message] = notified(tmp_path, of_a_night(old, before=[old], unseen=[hole]))

    assert "not seen: service web: denied" in message
    assert "OLD" not in message.partition("findings:")[2]


def test_small_news_may_be_left_out(tmp_path):
    """Below the severity that is worth a message, nothing is news."""
    low, high = finding(key="LOW", severity=Severity.LOW), finding(key="HIGH")
    _, nothing = notified(tmp_path, of_a_night(low), "--min-severity=high")
    _, [message] = notified(tmp_path, of_a_night(low, high), "--min-severity=high")

    assert (nothing, "/LOW:" in message, "/HIGH:" in message) == ([], False, True)


def test_reports_of_no_night_are_news():
    """Where nothing is known of before, all that is open is new."""
    told = report(service(findings=[finding(key="A"), finding(key="B", waived=WAIVED)]))

    assert [f.address.key for f in news(told)] == ["A"]


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (report(service()), "success"),
        (drifted(), "failure"),
        (drifted(severity=Severity.LOW), "warning"),
        (report(service(), unseen=[Unseen(where="x", reason="y")]), "failure"),
    ],
    ids=["clean", "failing", "drift", "blind"],
)
def test_loudness(tmp_path, told, kind):
    """Pagers are told how loud it is."""
    write(tmp_path, told)
    with serving("chat") as desk:
        attached(NOTIFY, tmp_path, desk, "--all")

    assert [(m["type"], m["title"]) for m in desk.messages] == [
        (kind, f"drift-audit: {told.verdict}")
    ]


def test_several_addresses(tmp_path):
    """Every address of a name gets the message, and one that fails is code 5 for the rest to know."""
    write(tmp_path)
    with serving("chat") as desk, serving("chat", always=(500, {})) as broken:
        both = " ".join(
            NOTIFY.environment(d)["DRIFT_AUDIT_NOTIFY_OPS"].replace("?wait=0.1", "?retry=0")
            for d in (desk, broken)
        )
        env = {"DRIFT_AUDIT_NOTIFY_OPS": both}
        ran = run(*NOTIFY.arguments(desk), cwd=tmp_path, env=env)

    assert (ran.code, len(desk.messages)) == (5, 1)


@pytest.mark.parametrize("address", [f"nonsense://{TOKEN}", f"slack://{TOKEN}", TOKEN])
def test_bad_addresses(tmp_path, address):
    """An address that apprise does not know is refused by its number, unread aloud."""
    write(tmp_path)
    with serving("chat") as desk:
        good = NOTIFY.environment(desk)["DRIFT_AUDIT_NOTIFY_OPS"]
        env = {"DRIFT_AUDIT_NOTIFY_OPS": f"{good} {address}"}
        ran = run(*NOTIFY.arguments(desk), cwd=tmp_path, env=env)

    assert (ran.code, desk.asked) == (2, [])
    assert "address 2 in DRIFT_AUDIT_NOTIFY_OPS" in ran.err
    assert TOKEN not in ran.block


URL = "https://tickets.example"


@pytest.mark.parametrize(
    ("arguments", "env", "code", "says"),
    [
        (["github", "none.json", "a/b#1"], {}, 4, "none.json: missing"),
        (["github", "before.json", "a/b#1"], {}, 4, "before.json: bad-report"),
        (["github", "report.json", "a/b"], {}, 2, "not OWNER/REPO#NUMBER"),
        (["github", "report.json", "a/b#1"], {}, 2, "GITHUB_TOKEN is not set"),
        (["github", "report.json", "a/b#1"], {"GITHUB_TOKEN": f"{TOKEN}\nx"}, 2, "GITHUB_TOKEN holds no token"),
        (["github", "report.json", "a/b#1", "--name=a b"], {}, 2, "--name is not"),
        (["github", "report.json", "a/b#1", f"--url=https://u:{TOKEN}@h"], {}, 2, "more than the address"),
        (["github", "report.json", "a/b#1", f"--url=https://h?t={TOKEN}"], {}, 2, "more than the address"),
        (["github", "report.json", "a/b#1", "--url=http://h"], {}, 2, "no token is sent without TLS"),
        (["github", "report.json", "a/b#1", "--url=h"], {}, 2, "no address of a server"),
        (["github", "report.json", "a/b#1", "--url=https://h:x"], {}, 2, "no address of a server"),
        (["github", "report.json", "a/b#1"], {"GITHUB_API_URL": "http://h"}, 2, "without TLS"),
        (["jira", "report.json", "ops-1", f"--url={URL}"], {}, 2, "not the key of an issue"),
        (["jira", "report.json", "OPS-1"], {}, 2, "give --url, or set JIRA_URL"),
        (["jira", "report.json", "OPS-1", f"--url={URL}"], {}, 2, "JIRA_TOKEN is not set"),
        (["jira", "report.json", "OPS-1", f"--url={URL}"], {"JIRA_USER": "me"}, 2, "JIRA_API_TOKEN is not set"),
        (["servicenow", "report.json", "12", f"--url={URL}"], {}, 2, "not the number of a record"),
        (["servicenow", "report.json", "INC1234", f"--url={URL}"], {}, 2, "SERVICENOW_TOKEN is not set"),
        (
            ["servicenow", "report.json", "INC1234", f"--url={URL}"], {"SERVICENOW_USER": "me"}, 2,
            "SERVICENOW_PASSWORD is not set",
        ),
        (["notify", "report.json", f"slack://{TOKEN}"], {}, 2, "not a name in lower-case letters"),
        (["notify", "report.json", "ops"], {}, 2, "DRIFT_AUDIT_NOTIFY_OPS is not set"),
    ],
)  # fmt: skip
def test_wrong_words(here, arguments, env, code, says):
    """What cannot be carried out is one line before anything is sent, and repeats no credential."""
    write(here)
    ran = run("attach", *arguments, cwd=here, env=env)

    assert ran.code == code, ran.block
    assert says in ran.err
    assert TOKEN not in ran.block


@pytest.mark.parametrize(
    ("sink", "env", "arrives"),
    [
        (JIRA, {"JIRA_TOKEN": TOKEN}, f"Bearer {TOKEN}"),
        (SERVICENOW, {"SERVICENOW_TOKEN": TOKEN}, f"Bearer {TOKEN}"),
    ],
)
def test_tokens_without_a_user(tmp_path, sink, env, arrives):
    """A token of its own is sent as such, whatever lies in a .netrc."""
    write(tmp_path)
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login other password wrong\n")
    with serving(sink.service) as desk:
        ran = run(*sink.arguments(desk), cwd=tmp_path, env=env)

    assert ran.code == 0, ran.block
    assert {one.headers["authorization"] for one in desk.asked} == {arrives}


def test_records_that_are_not_there(tmp_path):
    """ServiceNow answers an empty list for what is not there, and that is no success."""
    write(tmp_path)
    with serving("servicenow") as desk:
        env = SERVICENOW.environment(desk)
        asked = ["attach", "servicenow", "report.json", "incident/INC9999", f"--url={desk.url}"]
        ran = run(*asked, cwd=tmp_path, env=env)

    assert ran.code == 5
    assert "there is no such thing" in ran.err
    assert desk.writes() == []


def test_report_in_a_bucket(tmp_path):
    """A report that a night left in a bucket is read from there."""
    with bucket() as cloud, serving("chat") as desk:
        cloud.objects["prod/report.json"] = 1, drifted().model_dump_json().encode()
        env = {**NOTIFY.environment(desk), **cloud.env}
        told = [
            run(*NOTIFY.arguments(desk, report=f"gs://{NAME}/{path}"), cwd=tmp_path, env=env)
            for path in ("prod/report.json", "prod/none.json", "prod/")
        ]

    assert [ran.code for ran in told] == [0, 4, 4], told
    assert len(desk.messages) == 1
    assert "missing: no such object" in told[1].err


@pytest.mark.parametrize(
    ("sink", "module"), [(GITHUB, "github"), (JIRA, "atlassian"), (NOTIFY, "apprise")]
)
def test_clients_are_extras(tmp_path, sink, module):
    """Without the client, the hint is what installs it; a dry run needs none."""
    write(tmp_path)
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / f"{module}.py").write_text("raise ImportError\n")
    path = f"{tmp_path / 'shadow'}:{Path(__file__).parents[1]}"
    with serving(sink.service) as desk:
        env = {**sink.environment(desk), "PYTHONPATH": path}
        ran = run(*sink.arguments(desk), cwd=tmp_path, env=env)
        dry = run(*sink.arguments(desk, "--dry-run"), cwd=tmp_path, env=env)

    assert (ran.code, dry.code) == (2, 0), ran.block
    assert f"pip install 'drift-audit[{sink.name}]'" in ran.err


def test_silence_has_an_end():
    """A server that takes the request and says nothing is given up."""
    target = door.Target("GitHub", "a/b#1", URL)
    with pytest.raises(OutputError, match="no answer within"), door.telling(target):
        raise requests.ReadTimeout
