"""The client's side of GSS-API for a test: reads orders, a line each, and answers each with a line.

The first argument is the service, as service@host. Tokens and messages are in base64; an answer that begins with `!` is
an error.
"""

import sys

import kerberos

_, context = kerberos.authGSSClientInit(sys.argv[1], gssflags=int(sys.argv[2]))
for line in sys.stdin:
    order, _, data = line.rstrip("\n").partition(" ")
    try:
        if order == "step":
            kerberos.authGSSClientStep(context, data)
        elif order == "unwrap":
            kerberos.authGSSClientUnwrap(context, data)
        elif order == "wrap":
            kerberos.authGSSClientWrap(context, data)
        print(kerberos.authGSSClientResponse(context) or "", flush=True)
    except kerberos.GSSError as error:
        print("!", error, flush=True)
