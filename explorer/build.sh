#!/bin/sh
# Build GraphiQL into gateway/http/explorer/. A failed build leaves the previous one in place.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=$here/../gateway/http/explorer

cd "$here"
../scripts/with-node npm ci --no-audit --no-fund --loglevel=error >/dev/null

fresh=$here/node_modules/.explorer
trap 'rm -rf "$fresh"' EXIT
../scripts/with-node npm run --silent build -- --outDir "$fresh" --emptyOutDir

rm -rf "$target"
mv "$fresh" "$target"
