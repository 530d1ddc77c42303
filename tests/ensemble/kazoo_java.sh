#!/bin/sh
# Stands in for `java` where kazoo's test harness starts a server: hands its zoo.cfg and its system properties to
# ringkeeper.
flags=""
for word in "$@"; do
    case "$word" in
    -D*) flags="$flags $word" ;;
    esac
    config="$word"
done
SERVER_JVMFLAGS="$flags" exec "$RINGKEEPER_UNDER_TEST" server "$config"
