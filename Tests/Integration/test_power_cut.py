"""The power goes at any moment: the real daemon is recorded, and each state its disk may be left in is recovered.

Nothing that had been answered may be missing then, nobody may have other credentials, no name may be there twice, and
a second recovery must find nothing to do. NEARHUB_CUT_SECONDS bounds each recording's checks (default 40),
NEARHUB_CUT_SEED chooses, NEARHUB_CUT_NESTED is how many recoveries are cut themselves.
"""

import os

import pytest

import workload
from powercut import PowerCuts

SECONDS = float(os.environ.get("NEARHUB_CUT_SECONDS", "40"))
SEED = int(os.environ.get("NEARHUB_CUT_SEED", "1"))
NESTED = int(os.environ.get("NEARHUB_CUT_NESTED", "4"))

pytestmark = pytest.mark.timeout(120 + 3 * SECONDS)


def survives(site, least: int, capsys):
    """Cuts the power all over a recording."""
    cuts = PowerCuts(site.recording(), SECONDS, SEED, NESTED)
    told = {(promise.id, promise.credentials) for promise in cuts.promises.devices}
    assert set(site.answered.values()) <= told, "an answer that no trace shows"
    report = cuts.run()
    with capsys.disabled():
        print(f"\npower cuts, seed {SEED}: {len(told)} devices promised, {report}")
    assert not report.findings, "\n\n".join(report.findings)
    assert report.states >= least, f"too few states were checked to prove anything: {report}"


def test_a_power_cut_at_any_moment(hubs, capsys):
    survives(workload.record(hubs(), seed=SEED), 100, capsys)


def test_a_power_cut_with_interrupted_and_short_writes(hubs, capsys):
    survives(workload.record(hubs(), "write:%30:short;write:%20:EINTR", seed=SEED), 100, capsys)


@pytest.mark.parametrize("number", (5, 12))
def test_a_power_cut_around_a_sync_that_fails(hubs, capsys, number):
    hub = hubs()
    site, code = workload.record_until_it_stops(hub, f"fdatasync/devices*:{number}:EIO", SEED)
    assert code == 74
    survives(site, 50, capsys)
