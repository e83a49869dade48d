"""Fixtures: a running hub, a profile on it, makers of hubs and of brokers. All are judged and removed afterwards."""

import pytest

from broker import Broker
from harness import Hub


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


def close_all(made):
    """Closes every hub or broker, even if one of them is found guilty."""
    failures = []
    for one in made:
        try:
            one.close()
        except AssertionError as failure:
            failures.append(str(failure))
    if failures:
        pytest.fail("\n\n".join(failures), pytrace=False)
