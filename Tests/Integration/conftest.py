"""Fixtures: a running hub, a profile on it, and a maker of hubs. Every hub is judged and removed afterwards."""

import pytest

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


def close_all(hubs):
    """Closes every hub, even if one of them is found guilty."""
    failures = []
    for hub in hubs:
        try:
            hub.close()
        except AssertionError as failure:
            failures.append(str(failure))
    if failures:
        pytest.fail("\n\n".join(failures), pytrace=False)
