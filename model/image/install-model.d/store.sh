# shellcheck shell=sh
# What a store holds beside its models. Sourced by install-model, which sets `store`.
#
#   .leases/<pod>               names the entry that the pod uses; renewed by its sidecar
#   .verified/<entry>.<inode>   the fingerprint of a copy that was verified
#   .install-<host>-<pid>       a copy in progress
#   .prune-<host>-<pid>         an entry that is being removed

host=$(uname -n)
pod=$(printf %s "${POD_NAME:-$host}" | sed 's/[^A-Za-z0-9._-]/_/g; s/^\./_/')

# Pods of other users write here too if they may write to the store.
make_folder() {
  [ ! -L "$store/$1" ] || { echo "$1: is a symbolic link" >&2; return 1; }
  [ -d "$store/$1" ] || said=$(mkdir -m "$(stat -c %a "$store")" "$store/$1" 2>&1) || [ -d "$store/$1" ] \
    || { echo "$said" >&2; return 1; }
}

# --- Leases

# Says that this pod uses the entry $1. The lease is renamed from a folder in the store: when an NFS client changes a
# directory, it reads it anew, so that the look at the store and its leases that follows is no cached one.
lease() {
  mkdir -p "$temp" && make_folder .leases && echo "$1" >"$temp/lease" && touch "$temp/lease" \
    && mv -f "$temp/lease" "$store/.leases/$pod"
} 2>&1
release() { rm -f "$store/.leases/$pod" 2>/dev/null || :; }
# An entry's modification time is when a pod last used it.
touch_entry() { touch -c "$store/$1" 2>/dev/null || :; }

# Renews the lease of the model that the link $1 names every $2 seconds until a signal.
hold_lease() {
  temp=$store/.install-$host-$$ told=''
  trap 'kill "$child" 2>/dev/null || :; touch_entry "$entry"; release; rm -rf "$temp"; exit 0' INT TERM
  while :; do
    entry=$(readlink "$1") || fail "$1: is no link to a model; it is made by install-model SOURCE STORE LINK"
    entry=${entry##*/} problem=''
    [ -d "$store/$entry" ] || problem='is gone from the store; restart this pod'
    [ -n "$problem" ] || problem=$(lease "$entry") || problem="has no lease, and --prune may remove it: ${problem##*: }"
    [ "$problem" = "$told" ] || [ -z "$problem" ] || warn "$store/$entry: $problem"
    told=$problem
    rm -rf "$temp" 2>/dev/null || :
    touch_entry "$entry"
    # In the background, so that a signal is not kept waiting.
    sleep "$2" & child=$!
    wait "$child" || :
  done
}

# --- Private folders

# The time of the store's clock, to compare with times of its files: the clocks of nodes differ.
store_time() {
  clock=$store/.leases/.clock-$host-$$
  make_folder .leases && touch "$clock" && stat -c %Y "$clock" && rm -f "$clock"
}

# Whether the run that made the private folder $1 has ended: its process is gone from this host (a pod's restarted init
# container keeps its host name), or it is of another host and nothing was written for an hour of the store's clock.
is_abandoned() {
  of=${1##*/.} of=${of#*-}
  case $of in
    "$host-$$" | "$host-$$".*) ;;
    "$host"-*) pid=${of##*-}; [ ! -d "/proc/${pid%.*}" ] ;;
    *)
      written=$(find "$1" -exec stat -c %Y {} + 2>/dev/null | sort -n | tail -n 1)
      at=$(store_time 2>/dev/null) && [ -n "$written" ] && [ $((at - written)) -ge 3600 ]
  esac
}

# Removes the copies of interrupted runs, and prints their names.
clean() {
  for left in "$store"/.install-*; do
    { [ -d "$left" ] && is_abandoned "$left"; } || continue
    echo "${left##*/}"
    # Renaming first: if that run is alive after all, it cannot publish a directory that is half deleted.
    mv "$left" "$store/.install-$host-$$.old" 2>/dev/null && left=$store/.install-$host-$$.old
    rm -rf "$left" 2>/dev/null || :
  done
}

# --- Verified copies

# Size, inode and modification time of each file of the copy at $1. Equal fingerprints mean that nobody wrote to it
# since it was verified; comparing them reads no model data.
fingerprint() {
  # File names have no white space: manifest_fault checks that.
  # shellcheck disable=SC2046
  (cd "$1" && echo "$digest" && stat -c '%n %s %i %y' $(names "$source")) 2>/dev/null
}
# A copy keeps its inode when it is renamed into place, and so is verified from its first moment.
marker() { printf %s "$store/.verified/$entry.$(stat -c %i "$1" 2>/dev/null)"; }
is_verified() { [ "$(cat "$(marker "$1")" 2>/dev/null)" = "$(fingerprint "$1" || echo none)" ]; }
mark() {
  make_folder .verified || return
  marked=$(marker "$1")
  rm -f "$marked" && fingerprint "$1" >"$marked" || return
  # Of copies that are gone. A marker that is missed costs one check of the hashes.
  find "$store/.verified" -name "$entry.*" ! -name "${marked##*/}" -mmin +60 -exec rm -f {} + 2>/dev/null || :
}

# Release 0.1 kept the marker among the model's files.
move_old_marker() {
  [ -f "$1/.verified" ] || return 0
  [ "$(cat "$1/.verified")" != "$(fingerprint "$1")" ] || mark "$1" || return 0
  rm -f "$1/.verified"
} 2>/dev/null

# Removes what the copy at $1 has beside the model: a check of its signature refuses a file that it does not know.
tidy() {
  known=/model.sig/$(names "$source" | tr '\n' /)
  for stranger in "$1"/* "$1"/.[!.]* "$1"/..?*; do
    { [ -e "$stranger" ] || [ -L "$stranger" ]; } || continue
    case $known in *"/${stranger##*/}/"*) continue ;; esac
    if rm -rf "$stranger" 2>/dev/null; then warn "$stranger: is no file of the model; it is removed"; fi
  done
}
