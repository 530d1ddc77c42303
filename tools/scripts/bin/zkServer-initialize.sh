#!/usr/bin/env bash
# Makes the folders of a server, its myid and the file that lets a new database begin, as ZooKeeper's script does.

usage() {
    cat >&2 <<EOF
usage: $0 required-parameters [optional-parameters]
  optional parameters:
     --configfile=file  the configuration; default: zoo.cfg of the folder of configurations
     --myid=number      the id of this server
     --force            make everything anew, and DELETE the data that is there
EOF
    exit 1
}

ZOOBINDIR="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
my_id=
force=0
while [ $# -gt 0 ]; do
    case "$1" in
    --configfile=*) ZOOCFG="${1#*=}" ;;
    --configfile)
        ZOOCFG="${2:-}"
        shift
        ;;
    --myid=*) my_id="${1#*=}" ;;
    --myid)
        my_id="${2:-}"
        shift
        ;;
    --force) force=1 ;;
    *) usage ;;
    esac
    shift
done

# shellcheck source=tools/scripts/bin/zkEnv.sh
. "$ZOOBINDIR/zkEnv.sh"

if [ ! -r "$ZOOCFG" ]; then
    echo "Error: cannot read $ZOOCFG" >&2
    exit 1
fi
if [ -n "$my_id" ] && ! [[ "$my_id" =~ ^[0-9]+$ ]]; then
    echo "Error: --myid must be a number, and is $my_id" >&2
    exit 1
fi
data_dir="$(value_of dataDir)"
if [ -z "$data_dir" ]; then
    echo "Unable to determine dataDir from $ZOOCFG" >&2
    exit 1
fi
log_dir="$(value_of dataLogDir)"
log_dir="${log_dir:-$data_dir}"

for folder in "$data_dir" "$log_dir"; do
    if [ -d "$folder/version-2" ] && [ "$force" = 0 ]; then
        echo "ZooKeeper data directory already exists at $folder (or use --force to force re-initialization)" >&2
        exit 1
    fi
done
for folder in "$data_dir" "$log_dir"; do
    rm -rf "$folder/version-2"
    mkdir -p "$folder/version-2" || exit 1
done
rm -f "$data_dir/myid"

if [ -n "$my_id" ]; then
    echo "Using myid of $my_id"
    echo "$my_id" >"$data_dir/myid" || exit 1
else
    echo "No myid provided, be sure to specify it in $data_dir/myid if using non-standalone"
fi
# Beside the logs, where a server looks for it.
touch "$log_dir/initialize"
