# shellcheck shell=bash
# Source me: containers on Debian as root without a registry or an engine, in a storage of their own under $PARAVEC_LAB.
export PARAVEC_LAB=${PARAVEC_LAB:-${TMPDIR:-/tmp}/paravec-deploy}

lab_packages='podman buildah runc netavark aardvark-dns containernetworking-plugins conmon catatonit debootstrap busybox-static'
# Takes the place of a Gateway.
lab_packages="$lab_packages haproxy"

[ "$(id -u)" = 0 ] || { echo 'the lab needs root' >&2; exit 3; }
mkdir -p "$PARAVEC_LAB"/{conf,networks,run,storage}
# shellcheck disable=SC2086
if ! dpkg -s $lab_packages >/dev/null 2>&1; then
  command -v apt-get >/dev/null || { echo "the lab needs Debian, for its packages $lab_packages" >&2; exit 3; }
  echo "installing $lab_packages" >&2
  log=$PARAVEC_LAB/apt.log
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $lab_packages; } \
    >"$log" 2>&1 || {
    echo "the lab needs packages that apt-get cannot install here: $lab_packages" >&2
    { grep '^E:' "$log" || tail -n 3 "$log"; } >&2
    exit 3
  }
  # Its package starts a service, where systemd runs.
  [ ! -d /run/systemd/system ] || systemctl disable --now --quiet haproxy
fi

# Renamed into place: others may run podman at this moment, and read it.
lab_file() { cat >"$PARAVEC_LAB/conf/$1.$$" && mv "$PARAVEC_LAB/conf/$1.$$" "$PARAVEC_LAB/conf/$1"; }

# runc and cgroupfs, because the others want a cgroup hierarchy of one version; limits that any machine grants.
lab_file containers.conf <<EOF
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
[engine]
events_logger = "file"
cgroup_manager = "cgroupfs"
runtime = "runc"
tmp_dir = "$PARAVEC_LAB/run/libpod"
volume_path = "$PARAVEC_LAB/storage/volumes"
[network]
network_config_dir = "$PARAVEC_LAB/networks"
EOF
lab_file storage.conf <<EOF
[storage]
driver = "overlay"
graphroot = "$PARAVEC_LAB/storage/graph"
runroot = "$PARAVEC_LAB/run/storage"
EOF
export CONTAINERS_CONF=$PARAVEC_LAB/conf/containers.conf CONTAINERS_STORAGE_CONF=$PARAVEC_LAB/conf/storage.conf
export BUILDAH_ISOLATION=chroot
