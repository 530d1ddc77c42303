"""kazoo logs in by Kerberos at the server whose address is given, and prints a line for each check that holds."""

import sys

from kazoo.client import KazooClient
from kazoo.security import make_acl

client = KazooClient(hosts=sys.argv[1], sasl_options={"mechanism": "GSSAPI"}, timeout=10)
client.start(timeout=30)
client.create("/kazoo", b"x", acl=[make_acl("sasl", sys.argv[2], all=True)])
assert client.get("/kazoo")[0] == b"x"
print("ok the client has what the ACL gives to", sys.argv[2])
client.delete("/kazoo")
client.stop()
