#!/usr/bin/env bash
# manual.sh <folder of pages> [<folder of programs>]: the manual pages are formatted without a warning, by groff and by mandoc where
# these are there, and name each option that the programs' help does.
set -u
folder=$1
programs=${2:-}
findings=$(mktemp)
trap 'rm -f "$findings"' EXIT
checked=
if command -v groff >/dev/null; then
    checked+=" groff"
    for page in "$folder"/*.1; do
        groff -ww -mandoc -Tutf8 -Kutf8 -z "$page" >>"$findings" 2>&1 || echo "groff failed: $page" >>"$findings"
    done
fi
if command -v mandoc >/dev/null; then
    checked+=" mandoc"
    mandoc -Tlint -Wwarning "$folder"/*.1 >>"$findings" 2>&1
fi

# check_options <page> <program> [<verb>]
check_options() {
    page=$1
    shift
    for option in $("$programs/$@" --help | grep -oE '(^|[ ,[])--[a-z][a-z-]*' | grep -oE '[a-z].*' | sort -u); do
        grep -qE "Fl -$option( |\$)" "$page" || echo "$page: no word of --$option of $*" >>"$findings"
    done
}
if [ -n "$programs" ]; then
    checked+=" options"
    check_options "$folder/hakuban-router.1" hakuban-router
    for verb in observe get list expose snapshot; do
        check_options "$folder/hakuban.1" hakuban "$verb"
    done
fi

if [ -s "$findings" ]; then
    cat "$findings"
    exit 1
fi
[ -n "$checked" ] || exit 77
echo "checked:$checked"
