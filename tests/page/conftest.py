import pathlib
import sys

sys.path.insert(0, str(pathlib.Path.cwd() / "tests" / "flows"))


def pytest_configure(config):
    config.addinivalue_line("markers", "tls: the page is served over TLS")
    config.addinivalue_line("markers", "strangers_card: the wifi checks approvals with a card that does not know who approves")
