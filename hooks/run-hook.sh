#!/bin/sh
# run-hook.sh session-start|data-validation|version-tracking       the event's JSON comes on standard input
#
# Runs when a session begins and after every tool that hooks.json names, so it has to be cheap: it leaves
# at once outside a project, looks at names and dates, and starts Python only when there is something to
# do. It never fails: a hook that cannot run must not be in the way of the person who works.

hook=$1
cd "${CLAUDE_PROJECT_DIR:-.}" 2>/dev/null || exit 0
home=${NLP_SKILLS_HOME:-tasks}
[ -n "$NLP_SKILLS_HOME" ] || [ -d .nlp-skills ] || { cat >/dev/null; exit 0; }
event=$(cat)

home=${home%/}
case $home in
*/*) beside=${home%/*} ;;
*) beside=. ;;
esac
seen=$beside/.nlp-skills/$hook # touched by every look: what is older has been dealt with

newer() { # is there a file $1 that changed since the last look?
    [ -e "$1" ] && { [ ! -e "$seen" ] || [ "$1" -nt "$seen" ]; }
}

few_tasks() { # looking at each task takes 20 microseconds; with very many the command has to name them
    set -- "$home"/*/task.yaml
    [ $# -le 200 ] && return 0
    case $event in *"${home##*/}"* | *nlp-skills* | *nlp_skills* | *scripts*0*.py*) return 0 ;; esac
    return 1
}

data_changed() {
    few_tasks || return 1
    for train in "$home"/*/data/train.jsonl; do
        data=${train%/train.jsonl}
        for file in "$train" "$data/valid.jsonl" "$data/test.jsonl" "${data%/data}/data_source.yaml"; do
            newer "$file" && return 0
        done
    done
    return 1
}

run_ended() {
    few_tasks || return 1
    for job in "$home"/*/versions/*/job.json; do
        newer "${job%/job.json}/results.json" && return 0
        newer "$job" || continue
        case $(cat "$job") in *'"status": "running"'* | *'"status": "queued"'*) ;; *) return 0 ;; esac
    done
    return 1
}

limit=
case $hook in
session-start) limit=5 ;; # seconds: the session waits for it
data-validation)
    case $event in
    *'"tool_name":"mcp__'*) ;;
    *'"tool_name":"Bash"'*) data_changed || exit 0 ;;
    *'train.jsonl"'* | *'valid.jsonl"'* | *'test.jsonl"'* | *'data_source.yaml"'* | *'task.yaml"'*) ;;
    *) exit 0 ;;
    esac
    ;;
version-tracking) run_ended || exit 0 ;;
*) exit 0 ;;
esac

# The interpreter that the MCP server made; nothing is ever installed from here.
root=${CLAUDE_PLUGIN_ROOT:-$(dirname "$0")/..}
if [ -x "$root/.venv/bin/python" ]; then
    set -- "$root/.venv/bin/python"
elif [ -x "$root/.venv/Scripts/python.exe" ]; then
    set -- "$root/.venv/Scripts/python.exe"
elif command -v uv >/dev/null 2>&1; then
    set -- uv run --project "$root" --no-sync --offline --quiet python
else
    exit 0
fi
printf '%s' "$event" | "$@" -P -m nlp_skills.hooks "$hook" "$seen" $limit
exit 0
