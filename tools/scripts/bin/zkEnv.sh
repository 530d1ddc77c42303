#!/usr/bin/env bash
# The environment of the scripts beside this one, under the names that ZooKeeper's have:
#
#   ZOOCFGDIR      the folder of the configuration; conf beside bin, or /etc/zookeeper/conf
#   ZOOCFG         the name of the configuration in it; zoo.cfg
#   ZOO_LOG_DIR    where the output of a server goes that `zkServer.sh start` has started; logs beside bin
#   SERVER_JVMFLAGS, JVMFLAGS   -D words, which the server reads itself
#   RINGKEEPER     the program; beside the scripts, or on the PATH
#
# zookeeper-env.sh and java.env of the configuration's folder are sourced, as by ZooKeeper's scripts.

ZOOBINDIR="${ZOOBINDIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)}"
ZOOKEEPER_PREFIX="$ZOOBINDIR/.."

if [ -z "${ZOOCFGDIR:-}" ]; then
    if [ -d "$ZOOKEEPER_PREFIX/conf" ]; then
        ZOOCFGDIR="$ZOOKEEPER_PREFIX/conf"
    else
        ZOOCFGDIR=/etc/zookeeper/conf
    fi
fi

# shellcheck disable=SC1091
if [ -f "$ZOOCFGDIR/zookeeper-env.sh" ]; then
    . "$ZOOCFGDIR/zookeeper-env.sh"
fi

ZOOCFG="${ZOOCFG:-zoo.cfg}"
# A name with a folder in it is not one of a file in ZOOCFGDIR.
case "$ZOOCFG" in
*/*) ;;
*) ZOOCFG="$ZOOCFGDIR/$ZOOCFG" ;;
esac

# shellcheck disable=SC1091
if [ -f "$ZOOCFGDIR/java.env" ]; then
    . "$ZOOCFGDIR/java.env"
fi

ZOO_LOG_DIR="${ZOO_LOG_DIR:-$ZOOKEEPER_PREFIX/logs}"

if [ -z "${RINGKEEPER:-}" ]; then
    if [ -x "$ZOOBINDIR/ringkeeper" ]; then
        RINGKEEPER="$ZOOBINDIR/ringkeeper"
    elif ! RINGKEEPER="$(command -v ringkeeper)"; then
        echo "Error: the program ringkeeper is neither in $ZOOBINDIR nor on the PATH; RINGKEEPER names another place" >&2
        exit 1
    fi
fi

# The server reads them from its environment.
export SERVER_JVMFLAGS="${SERVER_JVMFLAGS:-}" JVMFLAGS="${JVMFLAGS:-}"

# The value of a key of the configuration, the last one if it is there twice; nothing if it is not there.
value_of() {
    sed -n "s/^[[:space:]]*$1[[:space:]]*[=:][[:space:]]*//p" "${2:-$ZOOCFG}" | tail -n 1 | sed 's/[[:space:]]*$//'
}
