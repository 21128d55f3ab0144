#!/bin/sh
# Builds the ggml library of ik_llama.cpp for this machine, the peer behind the backend "ik":
#
#   ci/peer-ik.sh build/peers/ik
#
# IK_SRC: a folder of its sources that is there already, of any version; else the pinned commit is
# fetched. Takes some ten minutes of two cores.
set -eu
out=$1
url=https://github.com/ikawrakow/ik_llama.cpp
commit=8337e4cd3861406fc04e0854b1409cd1b027fbc9
say() { printf 'peer-ik: %s\n' "$*"; }

for tool in cmake c++; do
    command -v $tool >/dev/null || { say "no $tool: install it first" >&2; exit 1; }
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
if [ -z "${IK_SRC:-}" ]; then
    IK_SRC=$out/src
    if [ "$(git -C "$IK_SRC" rev-parse -q --verify HEAD 2>/dev/null)" != $commit ]; then
        say "fetching $url, commit $commit"
        git init -q "$IK_SRC"
        git -C "$IK_SRC" fetch -q --depth 1 $url $commit
        git -C "$IK_SRC" -c advice.detachedHead=false checkout -q --force FETCH_HEAD
    fi
fi
IK_SRC=$(cd "$IK_SRC" && pwd)
[ -s "$IK_SRC/ggml/src/iqk/iqk_mul_mat.cpp" ] || { say "no ik_llama.cpp in $IK_SRC" >&2; exit 1; }

# Its top-level file configures the whole program; what matters here is said again.
mkdir -p "$out/project"
cat >"$out/project/CMakeLists.txt" <<'EOF'
cmake_minimum_required(VERSION 3.14)
project(peer_ik C CXX)
set(CMAKE_CXX_STANDARD 20)
add_subdirectory(${IK_SRC}/ggml ggml)
EOF
# Threads are the caller's: OpenMP would serve its graphs alone, which nothing here builds.
cmake -S "$out/project" -B "$out/cmake" -DIK_SRC="$IK_SRC" -DCMAKE_BUILD_TYPE=Release \
    -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=ON -DGGML_OPENMP=OFF -DGGML_IQK_FLASH_ATTENTION=OFF \
    -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$out" >"$out/cmake.log" || { cat "$out/cmake.log" >&2; exit 1; }
say "building $out/libggml.so"
cmake --build "$out/cmake" --target ggml --parallel "$(getconf _NPROCESSORS_ONLN)" >"$out/build.log" 2>&1 ||
    { grep -E 'error|Error' "$out/build.log" | head >&2; say "failed: see $out/build.log" >&2; exit 1; }
say "done: $out/libggml.so"
