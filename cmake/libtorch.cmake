# ferment::torch, an imported target over an unpacked LibTorch. find_package(Torch) is not used: it enables the CUDA compiler,
# and torch/include also carries protobuf headers that would shadow the distribution's.
set(root "${TORCH_ROOT}")
if(NOT root)
  set(root "$ENV{FERMENT_TORCH_ROOT}")
endif()
if(NOT root)
  set(root "${CMAKE_SOURCE_DIR}/.deps/libtorch/torch")
endif()
if(NOT EXISTS "${root}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "LibTorch is not at ${root}: run `make deps`, or give -DTORCH_ROOT=/path/to/libtorch")
endif()

set(FERMENT_TORCH_ROOT "${root}")
set(FERMENT_TORCH_INCLUDE "${CMAKE_BINARY_DIR}/torch-include")
file(MAKE_DIRECTORY "${FERMENT_TORCH_INCLUDE}")
foreach(folder ATen c10 caffe2 torch)
  if(NOT EXISTS "${FERMENT_TORCH_INCLUDE}/${folder}")
    file(CREATE_LINK "${root}/include/${folder}" "${FERMENT_TORCH_INCLUDE}/${folder}" SYMBOLIC)
  endif()
endforeach()

add_library(ferment_torch INTERFACE)
add_library(ferment::torch ALIAS ferment_torch)
target_include_directories(ferment_torch SYSTEM INTERFACE "${FERMENT_TORCH_INCLUDE}" "${root}/include/torch/csrc/api/include")
target_link_libraries(ferment_torch INTERFACE "${root}/lib/libtorch_cpu.so" "${root}/lib/libc10.so" Threads::Threads)
target_link_options(ferment_torch INTERFACE "-Wl,-rpath,${root}/lib" "-Wl,-rpath,${root}/../nvidia/cu13/lib"
  "-Wl,-rpath-link,${root}/lib" "-Wl,-rpath-link,${root}/../nvidia/cu13/lib")

# LibTorch's headers take 20 s to parse: targets share one precompiled form of what most of them need. The layers of
# torch/nn/modules stay out of it: whoever sees them instantiates their templates anew, 3 s a file.
function(ferment_precompile_torch target)
  target_link_libraries(${target} PRIVATE ferment::torch)
  if(NOT TARGET ferment_torch_pch)
    file(WRITE "${CMAKE_BINARY_DIR}/torch_pch.cc" "// Anchors the precompiled header.\n")
    add_library(ferment_torch_pch OBJECT "${CMAKE_BINARY_DIR}/torch_pch.cc")
    target_link_libraries(ferment_torch_pch PRIVATE ferment::torch ferment::warnings)
    target_precompile_headers(ferment_torch_pch PRIVATE <torch/types.h> <torch/utils.h> <torch/nn/module.h>)
  endif()
  # Programs would be compiled with -fPIE, which the header's -fPIC does not match.
  target_compile_options(${target} PRIVATE -fPIC)
  target_precompile_headers(${target} REUSE_FROM ferment_torch_pch)
endfunction()
