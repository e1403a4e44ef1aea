#!/usr/bin/env bash
# report-rehearsal.sh RESULT FILE: opens an issue with FILE, or updates the open one, unless RESULT is
# `success`: then it closes the open one.
set -euo pipefail
result=$1 file=$2
title="The newest libraries fail"
number=$(gh issue list --state open --limit 1000 --json number,title --jq "map(select(.title == \"$title\"))[0].number // empty")
if [ "$result" = success ]; then
    [ -z "$number" ] || gh issue close "$number" --comment "The newest libraries pass again."
elif [ -n "$number" ]; then
    gh issue edit "$number" --body-file "$file"
else
    gh issue create --title "$title" --body-file "$file"
fi
