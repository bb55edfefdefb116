# What a person may switch, and the compiler settings that every target shares through ferment::warnings.
option(FERMENT_BUILD_TESTS "Build the tests" ON)
option(FERMENT_BUILD_BENCH "Build the benchmarks" OFF)
option(FERMENT_COVERAGE "Instrument for gcov" OFF)
set(FERMENT_SANITIZE "" CACHE STRING "Comma-separated sanitizers, such as address,undefined")
set(FERMENT_WITH_NCCL "AUTO" CACHE STRING "Build the NCCL collective module: ON, OFF, or AUTO (where NCCL and CUDA are found)")
set(TORCH_ROOT "" CACHE PATH "An unpacked LibTorch 2.11; empty: the one that tools/install_dependencies.sh fetched")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

find_program(FERMENT_CCACHE ccache)
if(FERMENT_CCACHE)
  # The precompiled header makes ccache look away unless told that time stamps in it do not matter.
  set(launcher "${CMAKE_COMMAND}" -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
               CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 "${FERMENT_CCACHE}")
  set(CMAKE_C_COMPILER_LAUNCHER "${launcher}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${launcher}")
endif()
find_program(FERMENT_MOLD mold)
if(FERMENT_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_library(ferment_warnings INTERFACE)
add_library(ferment::warnings ALIAS ferment_warnings)
target_compile_options(ferment_warnings INTERFACE -Wall -Wextra -Wconversion -Wshadow -Werror
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety> -fpch-preprocess)
# Generated protobuf code and gcc 12 at -O2 disagree about a few bounds that are right.
target_compile_options(ferment_warnings INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow -Wno-array-bounds -Wno-restrict>)
if(FERMENT_SANITIZE)
  # UBSan otherwise prints what it finds and goes on, and the test passes.
  target_compile_options(ferment_warnings INTERFACE -fsanitize=${FERMENT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${FERMENT_SANITIZE})
  if(FERMENT_SANITIZE MATCHES "thread")
    # gcc warns of each fence, which TSan does not see. The only ones are Boost.Asio's, beside a mutex that it does see.
    target_compile_options(ferment_warnings INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
  endif()
endif()
if(FERMENT_COVERAGE)
  # Threads count too: without atomic updates they lose counts of each other.
  target_compile_options(ferment_warnings INTERFACE --coverage -fprofile-update=atomic)
  add_link_options(--coverage)
endif()
