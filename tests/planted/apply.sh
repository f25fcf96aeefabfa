#!/bin/sh
# Each patch of this folder names its rule and its finder, changes the product only, and applies to it.
set -u
cd "$(dirname "$0")" || exit 1
command -v patch >/dev/null || exit 77
failed=0
for plant in *.patch; do
    [ "$(sed -n '1{/^# Rule: ./p;};2{/^# Found by: [a-z]/p;}' "$plant" | wc -l)" = 2 ] ||
        { echo "$plant: its first lines are not '# Rule: …' and '# Found by: …'"; failed=1; }
    grep '^+++ ' "$plant" | grep -vE '^\+\+\+ b/(core|transports|codecs|runtime)/.*\.c$' &&
        { echo "$plant: changes more than files of the product"; failed=1; }
    patch --dry-run --forward --silent --strip=1 --fuzz=0 --directory=../.. <"$plant" ||
        { echo "$plant: does not apply: make it anew for the code of today"; failed=1; }
done
exit $failed
