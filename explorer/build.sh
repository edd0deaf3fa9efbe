#!/bin/sh
# Build GraphiQL into gateway/http/explorer/, unless it is there and no source is newer. A failed build
# leaves the previous one in place.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=$here/../gateway/http/explorer

cd "$here"
if [ -e "$target/index.html" ]; then
  [ -n "$(find . -name node_modules -prune -o -type f -newer "$target/index.html" -print)" ] || exit 0
fi
echo "Building the explorer (about 15 s) ..."
../scripts/with-node npm ci --no-audit --no-fund --loglevel=error >/dev/null

fresh=$here/node_modules/.explorer
trap 'rm -rf "$fresh"' EXIT
../scripts/with-node npm run --silent build -- --outDir "$fresh" --emptyOutDir

rm -rf "$target"
mv "$fresh" "$target"
