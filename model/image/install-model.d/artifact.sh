# shellcheck shell=sh
# Reads and checks a model artifact. Sourced by install-model.
#
# sed and awk can read the manifest because it is canonical JSON: one `"key": value` a line, keys sorted, indented by
# two spaces. paravec_model/artifact/manifest.py writes this form and accepts no other.

field() { sed -n 's/^  "'"$2"'": "\(.*\)",\{0,1\}$/\1/p' "$1/manifest.json"; }

# Lines of `sha256  name size` for the files of the artifact at $1.
files() {
  awk -F '"' '/^  "files": / { inside = 1; next }  inside && /^  }/ { exit }
    inside && /^    "/ { name = $2 }  inside && $2 == "sha256" { hash = $4 }
    inside && $2 == "size" { gsub(/[^0-9]/, "", $3); print hash, name, $3 }' "$1/manifest.json"
}
names() { echo manifest.json; files "$1" | awk '{ print $2 }'; }

# The name of the model at $1 in a store: <name>-<version>-<digest12>. Characters that are special to a shell or file
# system, and their JSON escapes, become _. The digest makes it unique.
entry_of() {
  printf '%s-%s' "$(field "$1" name)" "$(field "$1" version)" \
    | sed 's/\\u[0-9a-f]\{4\}/_/g; s/\\./_/g; s/[^A-Za-z0-9._-]/_/g'
  printf -- '-%.12s' "$(field "$1" digest | sed 's/^sha256://')"
}

# The hash of the manifest at $1 without the keys $2, over the JSON without white space, as in manifest.py.
content_hash() {
  grep -Ev "^  \"($2)\": " "$1/manifest.json" | sed -E 's/^ +//; s/^("([^"\\]|\\.)*"): /\1:/' | tr -d '\n' \
    | sha256sum | sed 's/ .*//; s/^/sha256:/'
}

# One line that says what is wrong with the manifest at $1; nothing if it is sound.
manifest_fault() {
  if [ ! -r "$1/manifest.json" ]; then
    echo 'manifest.json is missing or cannot be read'
  elif [ "$(field "$1" checksum)" != "$(content_hash "$1" checksum)" ] \
    || [ "$(field "$1" digest)" != "$(content_hash "$1" 'checksum|created|digest|tool')" ]; then
    echo 'manifest.json was changed or damaged: its checksum is wrong'
  elif files "$1" | awk '{ print $2 }' | grep -qE '^\.|[^A-Za-z0-9._-]|^$' || [ -z "$(files "$1")" ]; then
    echo 'manifest.json lists files that no artifact has'
  fi
}

# A line for each damaged file of the artifact at $1, which should have the digest $2; reads every byte.
faults() {
  wrong=$(manifest_fault "$1")
  [ -z "$wrong" ] || { echo "$wrong"; return; }
  [ "$(field "$1" digest)" = "$2" ] || { echo 'it is another model'; return; }
  files "$1" | while read -r hash name size; do
    if [ "$(stat -c %s "$1/$name" 2>/dev/null)" != "$size" ]; then
      echo "$name is missing, or does not have the $size bytes that the manifest says"
    elif ! actual=$(sha256sum <"$1/$name" 2>/dev/null) || [ "${actual%% *}" != "$hash" ]; then
      echo "$name was changed or damaged: its SHA-256 is wrong"
    fi
  done
}
