"""What a Prometheus would read from a server of ours."""

from http.client import HTTPConnection

from prometheus_client.parser import text_string_to_metric_families

from .servers import PATIENCE, Server

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def address_of(server: Server) -> str:
    """Where a server that has begun to listen serves its operations port."""
    port = next(event["port"] for event in server.events if event["event"] == "operations")
    return f"127.0.0.1:{port}"


def scrape(address: str, accept: str = "") -> tuple[str, str]:
    """The content's type, and the content."""
    connection = HTTPConnection(address, timeout=PATIENCE)
    connection.request("GET", "/metrics", headers={"Accept": accept})
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    assert answer.status == 200
    return answer.headers["Content-Type"], content


class Scrape:
    """One reading of all metrics, by Prometheus' own parser."""

    def __init__(self, address: str) -> None:
        self.families = list(text_string_to_metric_families(scrape(address)[1]))
        samples = [sample for family in self.families for sample in family.samples]
        self.samples: Samples = {(s.name, frozenset(s.labels.items())): s.value for s in samples}
        assert len(self.samples) == len(samples), "a sample is there twice"

    def __call__(self, name: str, /, **labels: str) -> float:
        """The value of one sample."""
        return self.samples[name, frozenset(labels.items())]

    def labels(self) -> dict[str, set[str]]:
        """The names of all labels of each sample's name."""
        found: dict[str, set[str]] = {}
        for name, labels in self.samples:
            found.setdefault(name, set()).update(label for label, _ in labels)
        return found
