"""A real Prometheus that scrapes the suite with the configuration that deploy/ has for production."""

import urllib.error
import urllib.request

from suite import SERVICES, ReservedPort, Suite, wait_for


def start_prometheus(suite: Suite) -> str:
    """Returns its host:port once it answers."""
    jobs = "".join(
        f"  - job_name: countersign-{name}\n    static_configs:\n      - targets: ['{suite.http_address(name)}']\n"
        for name in SERVICES
    )
    config = suite.folder / "prometheus.yml"
    config.write_text(f"global:\n  scrape_interval: 2s\nscrape_configs:\n{jobs}", encoding="utf-8")
    address = ReservedPort().address
    process = suite.start("prometheus", [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={suite.folder / 'prometheus'}",
        f"--web.listen-address={address}", "--log.level=warn",
    ])

    def ready() -> bool:
        process.check()
        try:
            with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5) as response:
                return response.status == 200
        except (urllib.error.URLError, ConnectionError):
            return False

    wait_for(ready, "Prometheus", 60)
    return address
