"""Tell network file systems, on which SQLite's locks may not hold between machines."""

from pathlib import Path

__all__ = ["network_file_system"]

_TYPES = frozenset(
    "afs beegfs ceph cifs coda fuse.ceph fuse.glusterfs fuse.juicefs fuse.s3fs fuse.sshfs glusterfs"
    " gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs smb2 smb3 smbfs".split()
)
_ESCAPES = {r"\040": " ", r"\011": "\t", r"\012": "\n", r"\134": "\\"}


def network_file_system(path: Path, mounts: str | None = None) -> str | None:
    """Return the type of the network file system that a path is on; None if none is known.

    Args:
        path: An absolute path without symbolic links, which need not exist.
        mounts: What Linux says of its mounts; by default it is asked, and elsewhere nobody knows.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        except OSError:
            return None
    deepest, kind = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        point = Path(_unescaped(fields[4]))
        if len(point.parts) >= deepest and path.is_relative_to(point):  # the last one covers others
            deepest, kind = len(point.parts), after.split(" ")[0]
    return kind if kind in _TYPES else None


def _unescaped(text: str) -> str:
    for escape, character in _ESCAPES.items():
        text = text.replace(escape, character)
    return text
