#!/bin/sh
# What a build with the feature `cuda` needs of the CUDA toolkit, from Python packages, in a folder of its own.
#
#     sh xtask/cuda-toolkit.sh DIR       # about 1.2 GB; needs python3 with venv, a C compiler and the network
#     . DIR/env.sh
#     cargo build --release --package xtask --features cuda
#
# Neither an installed toolkit nor a GPU is needed to build; docs/cuda.md says what the machine needs that runs it.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: sh xtask/cuda-toolkit.sh DIR" >&2
    exit 2
fi
mkdir -p "$1"
dir=$(cd "$1" && pwd)

python3 -m venv "$dir/venv"
set --
for package in nvcc crt runtime cccl nvrtc; do
    set -- "$@" "nvidia-cuda-$package==13.0.*"
done
"$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    "$@" "nvidia-nvvm==13.0.*" "nvidia-cublas==13.0.*" nvidia-curand

packages=$("$dir/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
home=$packages/nvidia/cu13
if [ ! -d "$home/lib" ]; then
    echo "$0: expected the folder $home/lib after the installation, got none" >&2
    exit 1
fi

# A linker asks for lib*.so; the packages have the versioned files alone.
for library in "$home"/lib/lib*.so.*; do
    name=${library##*/}
    ln -sf "$name" "$home/lib/${name%%.so.*}.so"
done
ln -sfn lib "$home/lib64"

# The driver's library comes with a GPU's driver. This one stands for it while linking: it has every function that the
# header names, so that programs which call one ask for libcuda.so.1 when they start, and none of them does anything.
tr -cs 'A-Za-z0-9_' '\n' < "$home/include/cuda.h" | grep '^cu[A-Z]' | sort -u |
    sed 's/.*/void &(void) {}/' |
    cc -shared -x c -Wl,-soname,libcuda.so.1 -o "$home/lib/libcuda.so" -

cat > "$dir/env.sh" <<END
# For the shell that builds: . $dir/env.sh
export CUDA_HOME="$home"
export CUDA_PATH="\$CUDA_HOME" CUDA_ROOT="\$CUDA_HOME" CUDA_TOOLKIT_ROOT_DIR="\$CUDA_HOME"
export PATH="\$CUDA_HOME/bin:\$PATH"
export CUDA_COMPUTE_CAP="\${CUDA_COMPUTE_CAP:-90}"
export RUSTFLAGS="-L \$CUDA_HOME/lib -C link-arg=-Wl,--unresolved-symbols=ignore-all"
END
echo "now: . $dir/env.sh"
