#!/usr/bin/env bash
# Starts, stops and asks a server, with the words and the answers of ZooKeeper's zkServer.sh.

usage() {
    echo "Usage: $0 [--config <conf-dir>] {start|start-foreground|stop|version|restart|status|print-cmd|upgrade} [config]" >&2
    exit "$1"
}

ZOOBINDIR="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
self=("$0")
if [ "${1:-}" = "--config" ]; then
    [ $# -ge 2 ] || usage 1
    if [ ! -d "$2" ]; then
        echo "Error: Cannot find config directory $2" >&2
        exit 1
    fi
    # shellcheck disable=SC2034 # zkEnv.sh uses it
    ZOOCFGDIR="$2"
    self+=(--config "$2")
    shift 2
fi
word="${1:-}"
if [ -n "${2:-}" ]; then
    ZOOCFG="$2"
fi

# shellcheck source=tools/scripts/bin/zkEnv.sh
. "$ZOOBINDIR/zkEnv.sh"

case "$word" in
version)
    exec "$RINGKEEPER" version
    ;;
upgrade)
    echo "There is nothing to upgrade: this server reads the folders of ZooKeeper 3.4 and later as they are."
    exit 0
    ;;
start | start-foreground | stop | restart | status | print-cmd) ;;
*) usage 1 ;;
esac

echo "ZooKeeper JMX is not available: there is no JVM" >&2
echo "Using config: $ZOOCFG" >&2
if [ ! -r "$ZOOCFG" ]; then
    echo "Error: cannot read $ZOOCFG" >&2
    exit 1
fi

data_dir="$(value_of dataDir)"
ZOOPIDFILE="${ZOOPIDFILE:-$data_dir/zookeeper_server.pid}"
daemon_out="$ZOO_LOG_DIR/zookeeper-${USER:-$(id -un)}-server-$(uname -n).out"
command=("$RINGKEEPER" server "$ZOOCFG")

# The process of the file, if it runs and is a server: its number may have gone to another program.
running() {
    local pid
    [ -f "$ZOOPIDFILE" ] || return 1
    pid="$(cat "$ZOOPIDFILE")"
    [[ "$pid" =~ ^[0-9]+$ ]] || return 1
    kill -0 "$pid" 2>/dev/null || return 1
    [ "$(readlink "/proc/$pid/exe" | sed 's/ (deleted)$//')" = "$(readlink -f "$RINGKEEPER")" ] || return 1
    echo "$pid"
}

start() {
    local pid
    echo -n "Starting zookeeper ... "
    if pid="$(running)"; then
        echo "already running as process $pid."
        exit 1
    fi
    if ! mkdir -p "$ZOO_LOG_DIR" "$(dirname "$ZOOPIDFILE")"; then
        echo "FAILED TO START"
        exit 1
    fi
    nohup "${command[@]}" >"$daemon_out" 2>&1 </dev/null &
    pid=$!
    if ! echo -n "$pid" >"$ZOOPIDFILE"; then
        kill "$pid"
        echo "FAILED TO WRITE PID"
        exit 1
    fi
    # A configuration or a folder that cannot be used ends a server within this time.
    sleep 1
    if running >/dev/null; then
        echo "STARTED"
    else
        echo "FAILED TO START"
        tail -n 3 "$daemon_out" >&2
        exit 1
    fi
}

stop() {
    local pid
    echo -n "Stopping zookeeper ... "
    if [ ! -f "$ZOOPIDFILE" ]; then
        echo "no zookeeper to stop (could not find file $ZOOPIDFILE)"
        return
    fi
    if ! pid="$(running)"; then
        rm -f "$ZOOPIDFILE"
        echo "STOPPED (no such server was running)"
        return
    fi
    kill "$pid"
    # The server ends by itself within 16 s, whatever its disk does.
    for _ in $(seq 200); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    if kill -0 "$pid" 2>/dev/null; then
        echo "FAILED: process $pid still runs" >&2
        exit 1
    fi
    rm -f "$ZOOPIDFILE"
    echo "STOPPED"
}

# Finds the address of the clients; sets port, address and ssl.
find_client_port() {
    local line my_id dynamic
    ssl=false
    port="$(value_of clientPort)"
    address="$(value_of clientPortAddress)"
    if [ -z "$port" ]; then
        my_id="$(cat "$data_dir/myid" 2>/dev/null)"
        if [ -n "$my_id" ]; then
            line="$(value_of "server\\.$my_id")"
            dynamic="$(value_of dynamicConfigFile)"
            if [[ "$line" != *\;* ]] && [ -n "$dynamic" ]; then
                echo "Client port not found in static config file. Looking in dynamic config file."
                line="$(value_of "server\\.$my_id" "$dynamic")"
            fi
            if [[ "$line" == *\;* ]]; then
                line="${line##*;}"
                port="${line##*:}"
                [[ "$line" == *:* ]] && address="${line%:*}"
                address="${address#[}"
                address="${address%]}"
            fi
        fi
    fi
    if [ -z "$port" ]; then
        echo "Client port not found. Looking for secureClientPort in the static config."
        port="$(value_of secureClientPort)"
        address="$(value_of secureClientPortAddress)"
        ssl=true
    fi
    if [ -z "$port" ]; then
        echo "Unable to find either secure or unsecure client port in any configs. Terminating."
        exit 1
    fi
    case "$address" in
    "" | 0.0.0.0 | ::) address=localhost ;;
    esac
}

# The answer to the four-letter word srvr.
ask() {
    if [ "$ssl" = true ]; then
        # Where the server demands a certificate, CLIENT_CERTIFICATE names a file with one and its key.
        local certificate=()
        [ -n "${CLIENT_CERTIFICATE:-}" ] && certificate=(-cert "$CLIENT_CERTIFICATE" -key "$CLIENT_CERTIFICATE")
        echo srvr | timeout 10 openssl s_client -quiet -connect "$address:$port" "${certificate[@]}" 2>/dev/null
    else
        # shellcheck disable=SC2016 # the inner shell expands them
        timeout 10 bash -c 'exec 3<>"/dev/tcp/$0/$1" && printf srvr >&3 && cat <&3' "$address" "$port" 2>/dev/null
    fi
}

status() {
    local mode
    find_client_port
    echo "Client port found: $port. Client address: $address. Client SSL: $ssl."
    if ! mode="$(ask | grep "^Mode")"; then
        if [ "$ssl" = true ]; then
            echo "Note: the port takes TLS only. If it demands a certificate, CLIENT_CERTIFICATE must name a PEM file with one"
            echo "  and its key."
        fi
        echo "Error contacting service. It is probably not running."
        exit 1
    fi
    echo "$mode"
}

case "$word" in
start) start ;;
start-foreground) exec "${command[@]}" ;;
stop) stop ;;
restart)
    shift
    "${self[@]}" stop "$@"
    exec "${self[@]}" start "$@"
    ;;
status) status ;;
print-cmd)
    printf '"%s" ' "${command[@]}"
    printf '> "%s" 2>&1 < /dev/null\n' "$daemon_out"
    ;;
esac
