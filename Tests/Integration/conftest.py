"""Fixtures: a running hub, a profile on it, makers of hubs, brokers and links. All are judged and removed afterwards."""

import pytest

from broker import Broker
from certificates import Certificates
from harness import Hub
from proxy import Proxy
from thingsboard import ThingsBoard
from upstream import Site


@pytest.fixture
def hubs():
    """Makes hubs that are not started yet; `hubs("section.key=value", …)`."""
    made = []

    def make(*settings, **options):
        made.append(Hub(*settings, **options))
        return made[-1]

    yield make
    close_all(made)


@pytest.fixture
def hub(hubs):
    """A running hub of the test's own."""
    return hubs().start()


@pytest.fixture
def brokers():
    """Makes brokers that are not started yet; `brokers(plugin=True)`, see broker.py."""
    made = []

    def make(*arguments, **options):
        made.append(Broker(*arguments, **options))
        return made[-1]

    yield make
    close_all(made)


@pytest.fixture
def open_broker(brokers):
    """A plain broker that lets anybody in."""
    return brokers(["max_queued_messages 0"], plugin=False, anonymous=True).start()


@pytest.fixture
def thingsboards():
    """Makes test doubles of ThingsBoard that are not started yet; see thingsboard.py."""
    made = []

    def make(**options):
        made.append(ThingsBoard(**options))
        return made[-1]

    yield make
    close_all(made)


@pytest.fixture
def sites(hubs, thingsboards):
    """Makes hubs below a double of ThingsBoard; `server`: options of the double, others: of [upstream]."""
    return lambda server=None, **options: Site.make(hubs, thingsboards, server or {}, **options)


@pytest.fixture
def site(sites):
    """A running hub below a double of ThingsBoard."""
    return sites()


@pytest.fixture
def proxies():
    """Makes links to a port that can be cut, slowed and stalled; `proxies(port)`, see proxy.py."""
    made = []

    def make(port):
        made.append(Proxy(port).start())
        return made[-1]

    yield make
    close_all(made)


@pytest.fixture(scope="session")
def certificates():
    """Certificates of servers, and the authority that signed them; see certificates.py."""
    made = Certificates()
    yield made
    made.close()


@pytest.fixture
def profile(hub):
    """An allow-create profile on `hub` with canary key and secret."""
    return hub.create_profile()


@pytest.fixture(scope="module")
def shared_hub():
    """A running hub shared by the tests of one file, for tests that leave no trace in each other's way."""
    hub = Hub()
    try:
        hub.start()
        yield hub
    finally:
        hub.close()


def pytest_terminal_summary(terminalreporter):
    """Prints how many states all recordings together were recovered from; see test_power_cut.py."""
    reports = terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
    states = [value for report in reports for name, value in report.user_properties if name == "power cuts"]
    if states:
        terminalreporter.write_line(f"power cuts: {sum(states)} states of {len(states)} recordings")


def close_all(made):
    """Closes every one that was made, even if one of them is found guilty."""
    failures = []
    for one in made:
        try:
            one.close()
        except AssertionError as failure:
            failures.append(str(failure))
    if failures:
        pytest.fail("\n\n".join(failures), pytrace=False)
