#!/usr/bin/env bash
# Measures AutoSpine on a GPU that has no network, in about six minutes: installs this checkout beside the machine's
# own torch from wheels (or an unpacked folder of packages), then runs benchmarks/gpu.py.
#
#   benchmarks/gpu.sh WHEELS OUT [options of gpu.py]     on the GPU machine
#   benchmarks/gpu.sh - OUT --device cpu --updates 2     the rehearsal; - takes the packages that are there
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,6s/^# \{0,1\}//p' "$0"
    exit 2
fi
wheels=$1 out=$2
shift 2
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$out"
if [ "$wheels" != - ]; then
    site="$out/site"
    if compgen -G "$wheels/*.whl" > /dev/null; then
        python3 -m pip install --quiet --no-index --no-deps --no-compile --upgrade --target "$site" "$wheels"/*.whl
    else
        site=$wheels
    fi
    export PYTHONPATH="$here:$site${PYTHONPATH:+:$PYTHONPATH}"
else
    export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
fi
exec "${PYTHON:-python3}" -u "$here/benchmarks/gpu.py" "$out" "$@"
