# shellcheck shell=sh
# Removes models that no pod uses from a store. Sourced by install-model.

# Pods renew their leases every 5 minutes. A pod that is killed, or cut off from the volume for longer, loses its lease,
# but its entry stays recent.
expiry=3600

# Reads all leases into `leases`, as lines of `pod entry age`, and the store's time into `now`.
look() {
  now=$(store_time 2>&1) || fail "$store: user $(id -u) cannot write to it: ${now##*: }; nothing is removed"
  leases=$(
    for file in "$store"/.leases/*; do
      case ${file##*/} in *[!A-Za-z0-9._-]*) continue ;; esac
      # Only a regular file: reading a pipe would wait for ever.
      { [ -f "$file" ] && renewed=$(stat -c %Y "$file" 2>/dev/null); } || continue
      # One that is there and cannot be read may name any entry.
      used=''
      { read -r used <"$file" || [ -n "$used" ] || [ -r "$file" ] || [ ! -e "$file" ] || used='*'; } 2>/dev/null
      printf '%s %s %s\n' "${file##*/}" "${used%% *}" $((now - renewed))
    done
  )
}

# The pods whose leases name the entry $1 and have not expired.
users() {
  printf '%s\n' "$leases" | awk -v entry="$1" -v expiry=$expiry '($2 == entry || $2 == "*") && $3 < expiry { print $1 }' \
    | tr '\n' ' ' | sed 's/ $//; s/ /, /g'
}

# Seconds in words.
span() {
  if [ "$1" -ge 172800 ]; then echo "$(($1 / 86400)) days"
  elif [ "$1" -ge 7200 ]; then echo "$(($1 / 3600)) hours"
  else echo "$(($1 / 60)) minutes"; fi
}

forget_expired() {
  printf '%s\n' "$leases" | while read -r holder entry idle; do
    [ "${idle:-0}" -ge $expiry ] || continue
    echo "install-model: $entry: the lease of $holder has expired, it was last renewed $(span "$idle") ago"
    [ -n "$dry" ] || rm -f "$store/.leases/$holder" || :
  done
}

# Puts the entries in the private folder $1 back if a pod has come to use them, and deletes the others.
settle() {
  [ -d "$1" ] || return 0
  look
  for path in "$1"/*; do
    [ -d "$path" ] || continue
    entry=${path##*/} by=$(users "${path##*/}")
    # The manifest is deleted first: what has one is whole. If the pod has made a new copy, mv fails.
    if [ -n "$by" ] && [ -f "$path/manifest.json" ] && mv "$path" "$store/" 2>/dev/null; then
      echo "install-model: $entry: put back, $by came to use it"
    else
      kib=$(du -sk "$path" | cut -f 1)
      if rm -f "$path/manifest.json" "$(marker "$path")" && rm -rf "$path"; then
        echo "install-model: $entry: removed, $kib KiB"
      fi 2>/dev/null
    fi
  done
  rm -rf "$1" 2>/dev/null || refused "$1" 'not all of it can be deleted'
}

failed=''
refused() { warn "$1: user $(id -u) cannot remove it: $2; it belongs to user $(stat -c %u "$1")"; failed=1; }

# Removes the entry $1. A pod first takes its lease and then looks at the entry; here the entry is first renamed away,
# and then the leases are looked at. So either the pod finds no entry and copies it, or its lease is found here.
remove() {
  if problem=$({ mkdir -p "$away" && mv "$store/$1" "$away/"; } 2>&1); then
    settle "$away"
  elif [ -e "$store/$1" ]; then # If it is not there, another run removes it.
    refused "$store/$1" "${problem##*: }"
  fi
}

# Settles what runs that were killed have renamed away.
settle_abandoned() {
  away=$store/.prune-$host-$$
  for left in "$store"/.prune-*; do
    if [ -d "$left" ] && [ ! -e "$away" ] && is_abandoned "$left" && mv "$left" "$away" 2>/dev/null; then
      settle "$away"
    fi
  done
}

# Removes the entries of the store that no lease names and no pod has used for $1 seconds. With `dry`, only says so.
prune() {
  away=$store/.prune-$host-$$
  look
  # Pods of release 0.1 hold no leases. They have as long as $1 from the first run on to be replaced.
  since=$store/.leases/.since
  [ -e "$since" ] || touch "$since"
  watched=$((now - $(stat -c %Y "$since")))
  forget_expired
  trap 'settle "$away"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  if [ -z "$dry" ]; then
    # Of runs that were killed.
    find "$store/.leases/" -name '.clock-*' -mmin +60 -exec rm -f {} + 2>/dev/null || :
    settle_abandoned
    clean | sed 's/.*/install-model: &: removed, an interrupted run left it/'
  fi
  for path in "$store"/*; do
    entry=${path##*/}
    if [ -L "$path" ] || [ ! -f "$path/manifest.json" ] || [ "$(entry_of "$path" 2>/dev/null)" != "$entry" ]; then
      [ ! -e "$path" ] || echo "install-model: $(printf %s "$entry" | tr -c ' -~' '?'): left alone, it is no model"
      continue
    fi
    look
    idle=$((now - $(stat -c %Y "$path" 2>/dev/null || echo "$now"))) by=$(users "$entry")
    ago="last used $(span "$idle") ago"
    if [ -n "$by" ]; then echo "install-model: $entry: in use by $by"
    elif [ "$idle" -lt "$1" ]; then echo "install-model: $entry: kept, $ago"
    elif [ "$watched" -lt "$1" ]; then
      echo "install-model: $entry: kept, $ago, but leases are watched for $(span "$watched") only"
    elif [ -n "$dry" ]; then echo "install-model: $entry: would be removed, $ago"
    else remove "$entry"; fi
  done
  [ -z "$failed" ]
}
