#!/usr/bin/env bash
# Builds the peers and prints the table. Extra arguments go to the suite, e.g. --keys 5000000 --rounds 5 --lz4
# RocksDB needs Debian's libclang-dev and about 24 CPU-minutes once; NO_ROCKS=1 leaves it out.
set -euo pipefail
cd "$(dirname "$0")"
T="${CARGO_TARGET_DIR:-${TMPDIR:-/tmp}/firndb-peers-target}"
export CARGO_TARGET_DIR="$T"
cargo build --release
E=ours,ours-tiered,fjall,redb,lmdb,sqlite
if [ -z "${NO_ROCKS:-}" ]; then
  (cd rocks && cargo build --release)
  export KV_BIN_rocksdb="$T/release/firndb-peers-rocks"
  E=rocksdb,$E
fi
"$T/release/firndb-peers" suite --engines "$E" --keys 2000000 --rounds 3 --limit 5 --reads 200000 --scans 8000 --sync-secs 1.5 --cache-mb 128 "$@"
