"""Makes a node with kazoo, for its creator alone if the client has an identity, and prints what it reads back.

Arguments: address, path, data, and the authority's file, the file of the client's certificate and key, and its
USER:PASSWORD, each of them empty if the client does without.
"""

import sys

from kazoo.client import KazooClient
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

address, path, data, authority, certificate, login = sys.argv[1:]
options = {}
if authority:
    options.update(use_ssl=True, ca=authority, verify_certs=True, check_hostname=True)
if certificate:
    options.update(certfile=certificate, keyfile=certificate)
if login:
    user, password = login.split(":")
    options["sasl_options"] = {"mechanism": "DIGEST-MD5", "username": user, "password": password}
client = KazooClient(hosts=address, **options)
client.start(timeout=20)
client.create(path, data.encode(), acl=CREATOR_ALL_ACL if certificate or login else OPEN_ACL_UNSAFE)
print("read", client.get(path)[0].decode())
client.stop()
client.close()
