"""Keeps some jars out of a source archive on the Python package index, while it streams by.

usage: fetch_jars.py PROJECT==VERSION SHA256 FOLDER     (names of jars on standard input)

pip finds the archive and opens the connection, so pip's settings of index, proxy and certificates
count here as well. `pip download` itself would first run the archive's build script, and would put
all of it on the disk.

Nothing is kept unless the whole archive has the given SHA-256: the jars stand in a folder of
another name until then.
"""

import hashlib
import os
import shutil
import sys
import tarfile
import time

from pip._internal.commands import create_command
from pip._internal.network.utils import HEADERS, raise_for_status

MIB = 1 << 20


class Counted:
    """The body of an HTTP reply as a file that is read once: hashes and counts what passes."""

    def __init__(self, reply):
        self.chunks = reply.iter_content(MIB // 4)
        self.total = int(reply.headers.get("content-length", 0))
        self.seen = 0
        self.hash = hashlib.sha256()
        self.rest = b""
        self.next_word = time.monotonic() + 2

    def read(self, size):
        parts = [self.rest]
        have = len(self.rest)
        while have < size:
            chunk = next(self.chunks, b"")
            if not chunk:
                break
            self.hash.update(chunk)
            self.seen += len(chunk)
            have += len(chunk)
            parts.append(chunk)
            if time.monotonic() > self.next_word:
                print(f"  {self.seen // MIB} of {self.total // MIB} MiB", flush=True)
                self.next_word = time.monotonic() + 5
        data = b"".join(parts)
        self.rest = data[size:]
        return data[:size]


def source_archive(command, options, session, project, version):
    finder = command._build_package_finder(options, session)
    for candidate in finder.find_all_candidates(project):
        if str(candidate.version) == version and not candidate.link.is_wheel:
            return candidate.link.url_without_fragment
    sys.exit(f"the package index offers no source archive of {project} {version}")


def main():
    requirement, sha256, folder = sys.argv[1:]
    project, version = requirement.split("==")
    wanted = set(sys.stdin.read().split())
    unchecked = folder + ".unchecked"
    shutil.rmtree(unchecked, ignore_errors=True)
    os.makedirs(unchecked)

    command = create_command("download")
    options, _ = command.parse_args([requirement])
    with command.main_context():
        session = command.get_default_session(options)
        url = source_archive(command, options, session, project, version)
        reply = session.get(url, headers=HEADERS, stream=True)
        raise_for_status(reply)
        body = Counted(reply)
        with tarfile.open(fileobj=body, mode="r|gz") as archive:
            for member in archive:
                name = os.path.basename(member.name)
                if name in wanted and "/deps/jars/" in member.name:
                    with open(os.path.join(unchecked, name), "wb") as jar:
                        shutil.copyfileobj(archive.extractfile(member), jar)
                    wanted.remove(name)
        while body.read(MIB):
            pass

    if body.hash.hexdigest() != sha256:
        sys.exit(f"{url} has SHA-256 {body.hash.hexdigest()}, expected {sha256}: nothing kept")
    if wanted:
        sys.exit(f"{url} lacks {', '.join(sorted(wanted))}")
    os.rename(unchecked, folder)


main()
