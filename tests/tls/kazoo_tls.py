"""kazoo over TLS: a certificate is an identity, ACLs name it, and large values pass.

Arguments: the address of the port for TLS, and the folder of the certificates.
"""

import sys

from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import ACL, Id, Permissions

ADDRESS, FOLDER = sys.argv[1:]


def client(who):
    connected = KazooClient(
        hosts=ADDRESS,
        use_ssl=True,
        ca=FOLDER + "/authority.pem",
        certfile=FOLDER + "/" + who + ".pem",
        keyfile=FOLDER + "/" + who + ".pem",
        verify_certs=True,
    )
    connected.start(timeout=20)
    return connected


alice, bob, root = client("alice"), client("bob"), client("root")
hers = [ACL(Permissions.ALL, Id("x509", "CN=alice,O=Ringkeeper"))]
alice.create("/hers", b"secret", acl=hers)
assert alice.get("/hers")[0] == b"secret"
assert root.get("/hers")[0] == b"secret"
try:
    bob.get("/hers")
    raise AssertionError("bob may read it")
except NoAuthError:
    pass
acls, _ = alice.get_acls("/hers")
assert acls == hers, acls

# `auth` becomes the certificate's name.
alice.create("/auth", b"", acl=[ACL(Permissions.ALL, Id("auth", ""))])
assert alice.get_acls("/auth")[0] == hers

# Values of many records, back and forth, and many requests at once.
large = bytes(range(256)) * 3500
alice.create("/large", large)
for _ in range(20):
    assert bob.get("/large")[0] == large
    bob.set("/large", large)
requests = [alice.create_async("/small-", b"x" * 100, sequence=True) for _ in range(2000)]
assert len({request.get(timeout=20) for request in requests}) == 2000

# A watch fires.
fired = []
bob.get("/large", watch=fired.append)
alice.set("/large", b"")
bob.sync("/large")
assert len(fired) == 1, fired

for connected in (alice, bob, root):
    connected.stop()
    connected.close()
print("all is well")
