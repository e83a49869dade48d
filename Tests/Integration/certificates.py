"""Certificates for one run of tests, made by openssl(1): an authority, and servers that are right or wrong."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import tempfile


class Certificates:
    """A directory of PEM files: `ca.pem`, and NAME.pem with NAME.key for each name below.

    localhost: as it should be. other: of another host. expired: was right. stranger: of an authority nobody knows,
    which is `strangers.pem`.
    """

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="certificates-", dir="/tmp"))
        for authority in ("ca", "strangers"):
            self._run("req", "-x509", *self._key(authority), "-subj", f"/CN={authority}", "-days", "2", "-out",
                      self.file(f"{authority}.pem"))  # fmt: skip
        self._server("localhost", "localhost")
        self._server("other", "other.example")
        self._server("expired", "localhost", days=0)
        self._server("stranger", "localhost", authority="strangers")

    def file(self, name: str) -> pathlib.Path:
        return self.directory / name

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def _server(self, name: str, host: str, days: int = 2, authority: str = "ca"):
        request, extensions = self.file(f"{name}.csr"), self.file(f"{name}.cnf")
        extensions.write_text(f"subjectAltName=DNS:{host}\n")
        self._run("req", *self._key(name), "-subj", f"/CN={host}", "-out", request)
        self._run("x509", "-req", "-in", request, "-CA", self.file(f"{authority}.pem"), "-CAkey",
                  self.file(f"{authority}.key"), "-CAcreateserial", "-days", days, "-extfile", extensions, "-out",
                  self.file(f"{name}.pem"))  # fmt: skip

    def _key(self, name: str) -> list:
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        return [*curve, "-nodes", "-keyout", self.file(f"{name}.key")]

    @staticmethod
    def _run(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
