"""The history of keys in a report: what it tells, how small it is, and how pages show it."""

from __future__ import annotations

import datetime as dt
import json
import re
from itertools import pairwise

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.audit import Audit, Pair
from drift_audit.differ import same_at, state_of
from drift_audit.history import KnownGood
from drift_audit.inventory import Service
from drift_audit.key_history import MOST, key_history
from drift_audit.renderer import FORMATS, heat, html, renderer
from drift_audit.renderer.timeline import LEGEND, MOST_KEYS
from drift_audit.renderer.timeline import render as as_text
from drift_audit.report import Report
from drift_audit.rules import RULES
from drift_audit.service_report import KeyHistory, KeyLine, Run, Stretch
from drift_audit.snapshot import Status
from drift_audit.timeline import timeline
from tests import reports
from tests.builders import HOME, NOW, sealer, snapshot
from tests.canary import leaks
from tests.command import run
from tests.readers import Page
from tests.reports import rendered
from tests.strategies import environments
from tests.test_audit import Still
from tests.test_known_good import CANARY, Night, world
from tests.test_rules import CASES, load, policy_of

JWT = {"secret": "jwt", "version": "1"}


def chain(*sides, seal=None, **more):
    """A service with one revision for each side, a minute apart, newest first."""
    seal = seal or sealer()
    made = [
        snapshot(
            side,
            seal=seal,
            revision=f"api-{n:05}",
            uid=f"u{n}",
            create_time=NOW + dt.timedelta(minutes=n),
        )
        for n, side in enumerate(sides, 1)
    ]
    return Service(
        project=HOME.project, region=HOME.region, service=HOME.service,
        latest_created=made[-1].revision, revisions=tuple(reversed(made)), complete=True, **more,
    )  # fmt: skip


def told(whole, *, reference=-1, candidate=0):
    return key_history(whole, whole.revisions[reference], whole.revisions[candidate])


def cells(line):
    """The states of a line, one for each stretch, with a star where a run begins."""
    return " ".join(
        run.state[0] + "*" * (at == 0 and i > 0)
        for i, run in enumerate(line.runs)
        for at in range(run.stretches)
    )


def test_states_and_changes():
    """Each key that a deploy changed has its states, oldest first, and where it changed."""
    one = {"A": JWT, "B": "x", "C": "", "D": "same", "E": "x"}
    found = told(
        chain(
            one,
            {**one, "B": "y"},
            {"A": JWT, "B": "y", "C": "z", "D": "same", "F": {"unreadable": "x"}},
            {"B": JWT, "D": "same", "F": {"unreadable": "x"}},
        )
    )

    assert {line.key: cells(line) for line in found.lines} == {
        "A": "s s s a*", "B": "l l* l s*", "C": "e e l* a*", "E": "l l a* a", "F": "a a u* u",
    }  # fmt: skip
    assert [stretch.revision for stretch in found.stretches] == [
        f"api-0000{n}" for n in range(1, 5)
    ]
    assert (found.unchanged, found.complete) == (1, True)


def test_history_begins_at_the_reference():
    """What happened before the reference is not told; a reference that is newer is told with."""
    whole = chain({"A": "1"}, {"B": "1"}, {"B": "1"}, {"C": "1"})

    assert {line.key for line in told(whole, reference=2).lines} == {"B", "C"}
    assert len(told(whole, reference=2).stretches) == 3
    assert told(whole, reference=0, candidate=2) == told(whole, reference=2)


def test_reference_that_was_deleted():
    """A baseline whose revision is gone stands first, without the traffic it had when promoted."""
    whole = chain({"A": "1"}, {"A": "1"}, {}, {})
    left = whole.but(revisions=whole.revisions[:-1])
    promoted = whole.revisions[-1].but(status=Status(percent=100))

    assert key_history(left, promoted, whole.revisions[0]) == told(whole)
    assert told(whole).stretches[0].percent == 0


@pytest.mark.parametrize(
    "sides",
    [
        [{"A": "1"}, {}],
        [{"A": "1"}, {"A": "1"}, {"A": "1"}],
        [{"settings": {"image": str(n)}, "env": {"A": "1"}} for n in range(5)],
    ],
    ids=["two revisions", "nothing changed", "images alone"],
)
def test_no_history(sides):
    """Where no deploy changed a key, or there are only the two revisions, there is no history."""
    assert told(chain(*sides)) is None


def test_candidate_that_was_not_deployed():
    """A manifest that nothing was made of yet is no column: the history is that of revisions."""
    whole = chain({"A": "1"}, {}, {})
    template = snapshot({"B": "1"}, revision="")
    found = key_history(whole, whole.revisions[-1], template)

    assert [line.key for line in found.lines] == ["A"]
    assert len(found.stretches) == 3


SIDES = st.lists(environments(), min_size=3, max_size=8)


@given(SIDES)
def test_every_cell_is_what_the_revision_holds(sides):
    """Each cell is the state of that key in that revision, and each mark a difference to the one before."""
    whole = chain(*sides)
    oldest_first = list(reversed(whole.revisions))
    found = told(whole)
    lines = found.lines if found else ()
    keys = {(b.container, b.key) for r in oldest_first for b in r.bindings}
    changed = {
        at
        for at in keys
        for one, two in pairwise(oldest_first)
        if not same_at(HOME.at(at[0], key=at[1]), one, two)
    }

    assert {(line.container, line.key) for line in lines} == changed
    for line in lines:
        at = HOME.at(line.container, key=line.key)
        states = [
            str(state_of(r.keys.get((line.container, line.key))))[0]
            + "*" * (i > 0 and not same_at(at, oldest_first[i - 1], r))
            for i, r in enumerate(oldest_first)
        ]
        assert cells(line) == " ".join(states)


@given(SIDES)
def test_what_is_alike_is_not_looked_at_and_nothing_is_lost(sides):
    """The history of changed keys is the same whether or not revisions that are alike are compared."""
    whole = chain(*sides, *sides[-1:])
    every = timeline(whole, ["*"], unseen=()).lines

    assert timeline(whole, unseen=()).lines == tuple(
        line for line in every if line.changed and line.at.setting is None
    )


# Many revisions


def long(count, changes):
    """A history of so many revisions, of which some change one key each."""
    sides, env = [], {"A": "0"}
    for n in range(count):
        env = {**env, "A": str(n)} if n in changes else env
        sides.append({"env": env, "settings": {"image": str(n)}})
    return chain(*sides)


def test_quiet_revisions_are_told_together():
    """In a long history the revisions that changed no key are told with the one before them."""
    found = told(long(200, {50, 51, 120}))

    assert [(s.revision, s.last, s.count) for s in found.stretches] == [
        ("api-00001", "", 1),
        ("api-00002", "api-00050", 49),
        ("api-00051", "", 1),
        ("api-00052", "api-00120", 69),
        ("api-00121", "api-00199", 79),
        ("api-00200", "", 1),
    ]
    assert cells(found.lines[0]) == "l l l* l* l* l"


def test_restless_history_is_told_by_its_end():
    """Where nearly every deploy changed a key, the oldest are told as one, after the reference."""
    found = told(long(200, set(range(200))))

    assert len(found.stretches) == MOST
    assert [s.count for s in found.stretches] == [1, 141, *[1] * 58]
    assert sum(run.stretches for run in found.lines[0].runs) == MOST


@given(st.integers(MOST + 1, 150), st.sets(st.integers(1, 149), min_size=1))
def test_a_long_history_is_complete(count, changes):
    """However it is told: every revision is in one stretch, and every line is as long as the others."""
    changes = {n for n in changes if n < count} or {1}
    found = told(long(count, changes))

    assert sum(s.count for s in found.stretches) == count
    assert len(found.stretches) <= MOST
    assert {sum(r.stretches for r in line.runs) for line in found.lines} == {len(found.stretches)}


# The page


def with_history(lines=2, stretches=4, *, services=1, **more):
    """A report whose services have a history of so many keys over so many revisions."""
    history = KeyHistory(
        complete=True,
        stretches=tuple(
            Stretch(revision=f"api-{n:05}", percent=100 * (n == stretches), create_time=NOW)
            for n in range(1, stretches + 1)
        ),
        lines=tuple(
            KeyLine(
                key=f"K{n}",
                runs=(
                    Run(state="secret", stretches=1),
                    Run(state="absent", stretches=stretches - 1),
                ),
            )
            for n in range(lines)
        ),
        **more,
    )
    one = reports.service(
        changes=[reports.change("K1")], reference="api-00001", candidate=f"api-{stretches:05}"
    )
    made = [
        one.but(service=f"s{n:02}", history=history, reference_how="promoted")
        for n in range(services)
    ]
    return reports.report(*made)


def page(report):
    return " ".join(renderer("html")(report).split())


def test_tables_of_a_page_of_very_many_findings():
    """Where services are left out of the page, each of the others has its own history, and no other's."""
    findings = [reports.finding(key=f"K{n}", waived=reports.WAIVED) for n in range(html.MOST + 1)]
    [kept] = with_history(1).services
    clean = reports.service(name="a-clean")
    full = kept.but(service="b-waived", findings=tuple(findings))
    text = page(reports.report(clean, full))

    assert "a-clean" not in text
    assert text.count('<div class="heat">') == 1


def test_table_of_the_page():
    """Rows are keys, columns revisions with what they are, cells letters; changes have a star."""
    text = page(with_history(unchanged=7))
    table = text[text.index('<table aria-labelledby="heat-1">') :]
    table = table[: table.index("</table>")]
    head = re.findall(r'<th scope="col".*?</th>', table[: table.index("</thead>")])
    told = [re.sub("<[^>]+>", "", part) for part in head]
    rows = re.findall(r'<tr><th scope="row"><code>(\w+)</code></th>(.*?)</tr>', table)

    assert told == [
        "key", "api-00001 01-15 12:00 known good", "api-00002 01-15 12:00", "api-00003 01-15 12:00",
        "api-00004 01-15 12:00 candidate, serves 100%",
    ]  # fmt: skip
    assert [name for name, _ in rows] == ["K1", "K0"]
    assert re.findall(r'<td class="([^"]*)">(.*?)</td>', rows[0][1]) == [
        ("secret", "S"), ("absent changed", "-*"), ("absent", "-"), ("absent", "-"),
    ]  # fmt: skip
    assert "7 more keys unchanged" in text
    assert heat.LEGEND in text


def test_named_reference_is_not_called_known_good():
    """A reference that somebody named is that, and no more."""
    made = with_history()
    named = made.but(services=tuple(s.but(reference_how="named") for s in made.services))

    assert "<b>reference</b>" in page(named)
    assert "known good" not in page(named)


def test_stretches_and_containers_are_named():
    """Several revisions that are told as one are named by both ends; containers where there are two."""
    made = with_history()
    [service] = made.services
    first, *others = service.history.stretches
    lines = service.history.lines
    history = service.history.but(
        stretches=(first.but(last="s00-00031-x", count=31, create_time=None), *others),
        lines=(lines[0].but(container="app"), lines[1].but(key=None, mount="/key"), *lines[2:]),
        complete=False,
    )
    text = page(made.but(services=(service.but(history=history),)))

    assert "api-00001 to 00031-x (31)" in text
    assert "app: K0" in text
    assert "<code>/key</code>" in text
    assert "there may be other revisions" in text


def test_page_holds_so_many_cells():
    """A page shows 3,000 cells; what is beyond them is counted, service by service."""
    text = page(with_history(40, 50, services=3))
    cells = re.findall(r'<td class="(?:secret|absent)', text)

    assert len(cells) == heat.MOST
    assert "20 more keys changed; drift-audit history shows all" in text
    assert "40 more keys changed; drift-audit history shows all" in text
    assert text.count("<thead>") == 2 + 3  # the tables of differences stand beside them
    assert len(text) < 250_000


def test_table_can_be_reached_and_read():
    """The table scrolls in a container of its own that a keyboard reaches, under a name."""
    made = Page(renderer("html")(with_history()))
    groups = [a for tag, a in made.elements if tag == "div" and a.get("role") == "group"]
    [group] = [a for a in groups if a.get("aria-labelledby") == "heat-1"]
    ids = {a["id"] for _, a in made.elements if "id" in a}

    assert group["tabindex"] == "0"
    assert group["aria-labelledby"] in ids
    assert {a.get("scope") for tag, a in made.elements if tag == "th"} == {"col", "row"}


@pytest.mark.parametrize("format", FORMATS)
def test_report_without_a_history_renders(format):
    """A report of an older version, which has none of the newer fields, is rendered as before."""
    made = json.loads(renderer("json")(with_history()))
    for service in made["services"]:
        del service["history"], service["reference_how"]
    older = Report.model_validate_json(json.dumps(made))

    assert older.services[0].history is None
    assert "heat-1" not in rendered(format, older)


def test_history_reads_back_and_fits_its_schema(tmp_path):
    """The stored form is the history, and the published schema describes it."""
    made = with_history(unchanged=3)
    document = json.loads(renderer("json")(made))
    schema = json.loads(run("schema", "show", "report", cwd=tmp_path).out)
    jsonschema.validate(document, schema)

    assert Report.model_validate_json(renderer("json")(made)) == made
    assert document["schema_version"] == 1


# The terminal


def test_map_of_a_terminal():
    """`history` shows every key in a row of letters, a capital where a deploy changed it."""
    whole = chain({"A": JWT, "B": "x"}, {"A": JWT, "B": "y"}, {"B": "y"})
    text = as_text(timeline(whole, unseen=()))

    assert f"\nA  Ss-\nB  PPp\n{LEGEND}\n" in text
    assert len(LEGEND) <= 80


@pytest.mark.parametrize(
    "sides",
    [
        [{"A": "1"}, {"A": "2"}],
        [{"A": str(n)} for n in range(90)],
        [{f"K{i}": str(n) for i in range(MOST_KEYS + 1)} for n in range(3)],
        [{"settings": {"cpu": str(n)}} for n in range(3)],
    ],
    ids=["two revisions", "too many revisions", "too many keys", "settings alone"],
)
def test_no_map_of_a_terminal(sides):
    """Where a map says nothing, or does not fit, there is none."""
    wanted = ["cpu"] if "settings" in sides[0] else ()

    assert LEGEND not in as_text(timeline(chain(*sides), wanted, unseen=()))


def test_map_of_two_containers():
    """Keys of several containers are told apart."""
    sides = [{"containers": {"app": {"env": {"A": n}}, "proxy": {"env": {"A": n}}}} for n in "123"]
    text = as_text(timeline(chain(*sides), unseen=()))

    assert "\napp: A    PPP\nproxy: A  PPP\n" in text


def test_long_names_in_a_terminal():
    """A name that is too long for its column is cut, and nothing is wider than the terminal."""
    sides = [{"N" * 70: str(n)} for n in range(30)]
    text = as_text(timeline(chain(*sides), unseen=()))

    assert f"\n{'N' * 28}..  {'P' * 30}\n" in text
    assert max(map(len, text.split("\n"))) <= 80


# The command


def test_audit_writes_the_history(tmp_path):
    """An audit tells of changed services alone what became of their keys, and of no value."""
    night = Night(tmp_path)
    promote = ("baseline", "promote", "--service=api", "--reason=r", "--by=me")
    assert night(world(1), command=promote).code == 0
    night(world(1), "--format=json")
    clean = json.loads(night.ran.out)["services"][0]["history"]
    ran = night(world(3), "--format=json")
    history = json.loads(ran.out)["services"][0]["history"]
    html = night(world(3), "--format=html")
    again = night.calls

    assert clean is None
    assert {line["key"]: cells(KeyLine.model_validate_json(json.dumps(line)))
            for line in history["lines"]} == {"JWT": "s a* s*"}  # fmt: skip
    assert "heat-1" in html.out
    assert leaks((ran.out + html.out).encode(), [CANARY]) == []
    assert again.count("ListRevisions") == 0


# Findings that are changes carry the deploy that made them


def changes_of(path):
    """A case whose rule compares two revisions, as a service with one more revision between them."""
    given = load(path)
    if RULES[path.parent.name].on_fleet or not given.get("reference") or not given["expect"]:
        return None
    policy = policy_of(given)
    seal = sealer(reveal=policy.reveal, numbers=policy.numbers)
    times = [NOW + dt.timedelta(minutes=n) for n in range(3)]

    def made(side, number):
        one = snapshot(side, seal=seal)
        who = one.identity.but(
            revision=f"api-0000{number}",
            uid=f"u{number}",
            create_time=times[number],
            generation=number,
        )
        return one.but(identity=who)

    reference, between = made(given["reference"], 0), made(given["reference"], 1)
    return policy, reference, between, made(given["candidate"], 2)


def found_in(policy, reference, between, candidate, rule):
    service = Service(
        project=candidate.identity.project, region=candidate.identity.region,
        service=candidate.identity.service, latest_created=candidate.revision, complete=True,
        revisions=(candidate, between, reference),
    )  # fmt: skip
    still = Still(service)
    pair = Pair(service, candidate, KnownGood(reference, "named"))
    report = Audit(policy, NOW).compare(still.collect(), still, pair)
    return {f.address: f for f in report.services[0].findings if f.rule == rule}


COMPARED = [path for path in CASES if changes_of(path)]


@pytest.mark.parametrize("path", COMPARED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_change_has_its_first_revision(path):
    """
    Whatever a rule says of a difference names the deploy that made it: the one revision that is not
    as the reference. What is so on both sides, and what changes without a deploy, has none.
    """
    policy, reference, between, candidate = changes_of(path)
    if reference.address != candidate.address:
        return
    found = found_in(policy, reference, between, candidate, path.parent.name)
    same = candidate.but(identity=reference.identity)
    still_there = found_in(policy, same, candidate.but(identity=between.identity), candidate, path.parent.name)  # fmt: skip
    for at, finding in found.items():
        if at not in still_there and not (at.setting or "").startswith("service."):
            assert finding.first_seen, finding.says
            assert finding.first_seen.revision == candidate.revision


def test_many_cases_were_compared():
    """The check above has something to look at."""
    assert len(COMPARED) > 100
    assert {"connections-grew", "key-lost"} <= {path.parent.name for path in COMPARED}
