#!/usr/bin/python3
"""A manufacturer's backend: offers the releases of a catalogue to the operator, and takes the operator's notices.

The catalogue is a folder that was prepared offline, with the manufacturer's key nowhere near this program:
    releases/*.json   countersign.liaison.v1.Release, one file for each release
    images/<sha256>   the images
    role.json         the manufacturer's role metadata, signed
Notices are appended to notices.jsonl beside them. Only the operator's liaison service is served.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import grpc
from google.protobuf import json_format

CHUNK_BYTES = 256 << 10
PAGE_SIZE = 100


def load_stubs() -> None:
    """Has protoc generate the API's Python modules, as a manufacturer's own build would, and imports from there."""
    root = pathlib.Path(__file__).absolute().parents[2] / "proto"
    out = tempfile.mkdtemp(prefix="countersign-stubs-")
    names = ("common/v1/update", "liaison/v1/liaison", "manufacturer/v1/manufacturer")
    subprocess.run(
        ["protoc", f"-I{root}", f"--python_out={out}", f"--grpc_out={out}",
         "--plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin",
         *(str(root / "countersign" / f"{name}.proto") for name in names)],
        check=True)
    sys.path.insert(0, out)


load_stubs()
from countersign.liaison.v1 import liaison_pb2  # noqa: E402
from countersign.manufacturer.v1 import manufacturer_pb2 as pb  # noqa: E402
from countersign.manufacturer.v1 import manufacturer_pb2_grpc as api  # noqa: E402


class Catalog:
    """The folder, read anew for each question: whoever prepares it needs no restart."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def releases(self) -> list:
        """(id, info) of each release, in order of id."""
        found = []
        for path in sorted((self.folder / "releases").glob("*.json")):
            release = json_format.Parse(path.read_text(encoding="utf-8"), liaison_pb2.Release())
            found.append((release.name.rsplit("/", 1)[1], release.info))
        return sorted(found, key=lambda release: release[0])

    def role_metadata(self) -> bytes | None:
        path = self.folder / "role.json"
        return path.read_bytes() if path.exists() else None

    def image(self, sha256: str) -> pathlib.Path | None:
        # The name comes from outside: nothing but a digest becomes a path.
        if len(sha256) != hashlib.sha256().digest_size * 2 or not set(sha256) <= set("0123456789abcdef"):
            return None
        path = self.folder / "images" / sha256
        return path if path.exists() else None

    def take_notice(self, notice: pb.ReceiveNoticeRequest) -> None:
        with open(self.folder / "notices.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(json_format.MessageToDict(notice)) + "\n")


class Backend(api.ManufacturerServiceServicer):
    """countersign.manufacturer.v1.ManufacturerService."""

    def __init__(self, catalog: Catalog, trust_domain: str) -> None:
        self._catalog = catalog
        self._caller = f"spiffe://{trust_domain}/service/liaison".encode()

    def ListReleases(self, request, context):
        self._authorise(context)
        models = set(request.models)
        wanted = [(name, info) for name, info in self._catalog.releases()
                  if not models or models & set(info.models)]
        wanted = [release for release in wanted if release[0] > request.page_token]
        size = request.page_size or PAGE_SIZE
        response = pb.ListReleasesResponse(
            releases=[pb.OfferedRelease(release_id=name, info=info) for name, info in wanted[:size]])
        if len(wanted) > size:
            response.next_page_token = wanted[size - 1][0]
        return response

    def GetRoleMetadata(self, request, context):
        self._authorise(context)
        metadata = self._catalog.role_metadata()
        if metadata is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no role metadata has been signed yet")
        return pb.GetRoleMetadataResponse(metadata=metadata)

    def DownloadImage(self, request, context):
        self._authorise(context)
        path = self._catalog.image(request.sha256)
        if path is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no image {request.sha256}")
        if request.offset > path.stat().st_size:
            context.abort(grpc.StatusCode.OUT_OF_RANGE, f"the image has {path.stat().st_size} bytes")
        with open(path, "rb") as file:
            file.seek(request.offset)
            while chunk := file.read(CHUNK_BYTES):
                yield pb.DownloadImageResponse(data=chunk)

    def ReceiveNotice(self, request, context):
        self._authorise(context)
        self._catalog.take_notice(request)
        return pb.ReceiveNoticeResponse()

    def _authorise(self, context) -> None:
        # gRPC's peer identities are the certificate's subject alternative names.
        if self._caller not in (context.peer_identities() or ()):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "only the operator's liaison service is served here")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manufacturer", required=True, help="id of the manufacturer, as in the certificate")
    parser.add_argument("--trust-domain", required=True, help="trust domain of the operator's identities")
    parser.add_argument("--catalog", type=pathlib.Path, required=True, help="the folder described above")
    parser.add_argument("--listen", default="127.0.0.1:0", help="host:port; port 0 is any free one")
    parser.add_argument("--port-file", type=pathlib.Path, help="gets the port once it serves")
    parser.add_argument("--cert", type=pathlib.Path, required=True)
    parser.add_argument("--key", type=pathlib.Path, required=True)
    parser.add_argument("--ca", type=pathlib.Path, required=True)
    arguments = parser.parse_args()

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8))
    api.add_ManufacturerServiceServicer_to_server(
        Backend(Catalog(arguments.catalog), arguments.trust_domain), server)
    credentials = grpc.ssl_server_credentials(
        [(arguments.key.read_bytes(), arguments.cert.read_bytes())],
        root_certificates=arguments.ca.read_bytes(), require_client_auth=True)
    port = server.add_secure_port(arguments.listen, credentials)
    if port == 0:
        sys.exit(f"cannot listen at {arguments.listen}: is the port taken?")
    server.start()
    print(f"{arguments.manufacturer}'s backend serves {arguments.catalog} at port {port}", flush=True)
    if arguments.port_file:
        partial = arguments.port_file.with_suffix(".partial")
        partial.write_text(f"{port}\n", encoding="utf-8")
        os.replace(partial, arguments.port_file)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop(grace=5))
    server.wait_for_termination()


if __name__ == "__main__":
    main()
