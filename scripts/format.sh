#!/usr/bin/env bash
# Formats every C file of the repository as .clang-format says, with clang-format 19.1: other versions format differently.
# scripts/install-deps.sh --full installs that version.
#
#   scripts/format.sh            formats
#   scripts/format.sh --check    lists the files that are not formatted and fails; 77: clang-format 19.1 is missing
#   scripts/format.sh --program  prints which clang-format it uses
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

case "${1:-}" in
--check) arguments=(--dry-run --Werror --ferror-limit=1) ;;
--program) arguments=() ;;
"") arguments=(-i) ;;
*)
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac

program=
for candidate in build/clang-format/bin/clang-format clang-format-19 clang-format; do
    if [[ $($candidate --version 2>/dev/null) == *" version 19.1."* ]]; then
        program=$candidate
        break
    fi
done
if [ -z "$program" ]; then
    echo "skipped: clang-format 19.1 is missing (scripts/install-deps.sh --full installs it)"
    exit 77
fi
if [ ${#arguments[@]} = 0 ]; then
    echo "$program"
    exit
fi

# Where there is no git, as in an unpacked archive, the folders of the sources are searched.
if ! files=$(git ls-files '*.c' '*.h' 2>/dev/null) || [ -z "$files" ]; then
    files=$(find bench codecs conformance core examples include runtime tests tools transports -name '*.[ch]')
fi
if ! said=$(tr '\n' '\0' <<<"$files" | xargs -0 "$program" "${arguments[@]}" 2>&1); then
    sed -nE 's/^([^ :]+):[0-9]+:[0-9]+: error: code should be .*/not formatted: \1 (scripts\/format.sh formats it)/p' <<<"$said" |
        sort -u | grep . || echo "$said"
    exit 1
fi
