#!/bin/sh
# Stands in for `java` where kazoo's test harness starts a server: hands its zoo.cfg and its system properties to
# ringkeeper. What concerns TLS and SASL is left out: ringkeeper refuses a port that it could not make secure, and a
# JAAS file whose logins it could not check.
flags=""
for word in "$@"; do
    case "$word" in
    -Djava.security.auth.login.config=*) ;;
    -D*) flags="$flags $word" ;;
    esac
    config="$word"
done
grep -v -e '^secureClientPort=' -e '^ssl\.' "$config" >"$config.plain"
SERVER_JVMFLAGS="$flags" exec "$RINGKEEPER_UNDER_TEST" server "$config.plain"
