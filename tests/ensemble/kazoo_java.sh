#!/bin/sh
# Stands in for `java` where kazoo's test harness starts a server: hands its zoo.cfg and its system properties to
# ringkeeper. The lines about TLS are left out: ringkeeper refuses a port that it could not make secure.
flags=""
for word in "$@"; do
    case "$word" in
    -D*) flags="$flags $word" ;;
    esac
    config="$word"
done
grep -v -e '^secureClientPort=' -e '^ssl\.' "$config" >"$config.plain"
SERVER_JVMFLAGS="$flags" exec "$RINGKEEPER_UNDER_TEST" server "$config.plain"
