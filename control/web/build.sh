#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Bundles the page into OUTDIR. Packages go into OUTDIR.npm and are fetched only when the lock file
# has changed; nothing is written beside the sources.
set -eu
[ $# -eq 1 ] || { echo "usage: build.sh OUTDIR" >&2; exit 2; }
src=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" "$1.npm"
out=$(cd "$1" && pwd)
npm=$out.npm
if ! cmp -s "$src/package-lock.json" "$npm/fetched.json" || [ ! -d "$npm/node_modules" ]; then
    rm -f "$npm/fetched.json"
    cp "$src/package.json" "$src/package-lock.json" "$npm/"
    # No scripts of packages: none is needed, and one less stranger runs here. esbuild's program is
    # an optional dependency of its own per platform.
    (cd "$npm" && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier \
        --loglevel=error >"$npm/npm.log" 2>&1) || { cat "$npm/npm.log" >&2; exit 1; }
    cp "$src/package-lock.json" "$npm/fetched.json"
fi
exec node "$src/build.mjs" "$out" "$npm"
