# NCCL::NCCL: NCCL and the CUDA runtime that it was built for, headers and libraries. Looks where NVIDIA's wheels lie beside
# LibTorch, in a CUDA toolkit, and in the system's folders; -DNCCL_ROOT and -DCUDAToolkit_ROOT come first.
get_filename_component(wheels "${FERMENT_TORCH_ROOT}/../nvidia" ABSOLUTE)
set(cuda_hints "${CUDAToolkit_ROOT}" "$ENV{CUDA_HOME}" "$ENV{CUDA_PATH}" "${wheels}/cu13" /usr/local/cuda)
set(nccl_hints "${NCCL_ROOT}" "$ENV{NCCL_ROOT}" "${wheels}/nccl" ${cuda_hints})

find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${nccl_hints} PATH_SUFFIXES include)
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${nccl_hints} PATH_SUFFIXES lib lib64)
find_path(NCCL_CUDART_INCLUDE_DIR cuda_runtime_api.h HINTS ${cuda_hints} PATH_SUFFIXES include)
find_library(NCCL_CUDART_LIBRARY NAMES libcudart.so.13 cudart HINTS ${cuda_hints} PATH_SUFFIXES lib lib64)
mark_as_advanced(NCCL_INCLUDE_DIR NCCL_LIBRARY NCCL_CUDART_INCLUDE_DIR NCCL_CUDART_LIBRARY)

if(NCCL_INCLUDE_DIR)
  file(STRINGS "${NCCL_INCLUDE_DIR}/nccl.h" numbers REGEX "^#define NCCL_(MAJOR|MINOR|PATCH) [0-9]+$")
  list(TRANSFORM numbers REPLACE "^.* ([0-9]+)$" "\\1")
  list(JOIN numbers "." NCCL_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(NCCL VERSION_VAR NCCL_VERSION
  REQUIRED_VARS NCCL_LIBRARY NCCL_INCLUDE_DIR NCCL_CUDART_LIBRARY NCCL_CUDART_INCLUDE_DIR)

if(NCCL_FOUND AND NOT TARGET NCCL::NCCL)
  # The headers alone: for what brings its own libraries, such as the tests' stand-ins.
  add_library(NCCL::headers INTERFACE IMPORTED)
  target_include_directories(NCCL::headers SYSTEM INTERFACE "${NCCL_INCLUDE_DIR}" "${NCCL_CUDART_INCLUDE_DIR}")
  add_library(NCCL::NCCL INTERFACE IMPORTED)
  target_link_libraries(NCCL::NCCL INTERFACE NCCL::headers "${NCCL_LIBRARY}" "${NCCL_CUDART_LIBRARY}")
  # Where the wheels are they must win: LibTorch's CUDA half loads the same libraries from there.
  set(NCCL_RPATH "${wheels}/nccl/lib" "${wheels}/cu13/lib")
  foreach(library "${NCCL_LIBRARY}" "${NCCL_CUDART_LIBRARY}")
    get_filename_component(folder "${library}" DIRECTORY)
    list(APPEND NCCL_RPATH "${folder}")
  endforeach()
  list(REMOVE_DUPLICATES NCCL_RPATH)
endif()
