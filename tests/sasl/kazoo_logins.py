"""Logins of kazoo by DIGEST-MD5 at the server whose address is given; a line for each check that holds."""

import sys

from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import make_acl


def client(user=None, password=None):
    options = {"mechanism": "DIGEST-MD5", "username": user, "password": password}
    return KazooClient(hosts=sys.argv[1], sasl_options=options if user else None, timeout=10)


def started(user=None, password=None):
    one = client(user, password)
    one.start(timeout=30)
    return one


bob = started("bob", "bobsecret")
bob.create("/kazoo", b"x", acl=[make_acl("sasl", "bob", all=True)])
assert bob.get("/kazoo")[0] == b"x"
print("ok bob logs in, and has what the ACL gives to him")

stranger = started()
try:
    stranger.get("/kazoo")
    sys.exit("a stranger reads what is for bob")
except NoAuthError:
    print("ok a stranger is refused")

for name, password in [("al", 'al "secret"'), ("super", "adminsecret")]:
    user = started(name, password)
    assert user.get("/kazoo")[0] == b"x"
    user.stop()
    print("ok", name, "passes the ACL")

for name, password in [("bob", "wrong"), ("eve", "bobsecret")]:
    user = client(name, password)
    try:
        user.start(timeout=5)
    except Exception as error:
        print("start:", type(error).__name__)
    try:
        user.get("/kazoo")
        sys.exit("a client reads without a login")
    except Exception as error:
        print("ok", name, "is refused:", type(error).__name__)

bob.delete("/kazoo")
