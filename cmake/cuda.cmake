# The CUDA plugin, libfastreg_cuda: the op table on NVIDIA GPUs. Included by CMakeLists.txt once the library is there.
# FASTREG_CUDA: AUTO builds it where a CUDA compiler is found, ON fails without one, OFF never does. EMULATED builds the
# same sources as C++ for the host (tests/emulator): for tests, not for use. A C library alone (no Python) is built
# without it unless asked for.
if(FASTREG_PYTHON)
  set(default AUTO)
else()
  set(default OFF)
endif()
set(FASTREG_CUDA ${default} CACHE STRING "Build the CUDA plugin: AUTO, ON, OFF or EMULATED")
set_property(CACHE FASTREG_CUDA PROPERTY STRINGS AUTO ON OFF EMULATED)
set(FASTREG_CUDA_ARCHITECTURES "75;80-real;86-real;89-real;90a-real;100-real;120" CACHE STRING
  "What the plugin is compiled for, as CMAKE_CUDA_ARCHITECTURES; 75 and 120 carry PTX, so that later GPUs run it too")

set(note "FASTREG_CUDA is OFF")
set(build_cuda OFF)
if(FASTREG_CUDA STREQUAL "EMULATED")
  set(build_cuda ON)
  set(note "the host (emulated, for tests)")
elseif(NOT FASTREG_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_ARCHITECTURES ${FASTREG_CUDA_ARCHITECTURES})
    set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
    enable_language(CUDA)
    set(build_cuda ON)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8)
      set(build_cuda OFF)
      set(note "nvcc ${CMAKE_CUDA_COMPILER_VERSION} is older than 12.8")
    endif()
  else()
    set(note "no CUDA compiler was found")
  endif()
  if(FASTREG_CUDA STREQUAL "ON" AND NOT build_cuda)
    message(FATAL_ERROR "FASTREG_CUDA is ON, but ${note}. Put nvcc 12.8 or later on the PATH or set CUDACXX; AUTO builds without it.")
  endif()
endif()

if(build_cuda)
  set(kernels
    csrc/cuda/caller_arrays.cu
    csrc/cuda/constrain.cu csrc/cuda/dense.cu csrc/cuda/dense_fast.cu csrc/cuda/draws.cu csrc/cuda/dropout_bf16.cu
    csrc/cuda/elementwise.cu
    csrc/cuda/fast_gemm.cu csrc/cuda/gemm.cu csrc/cuda/init.cu csrc/cuda/metric.cu csrc/cuda/permutation.cu
    csrc/cuda/queue.cu csrc/cuda/reduce.cu csrc/cuda/softmax_loss.cu csrc/cuda/sparse.cu csrc/cuda/train_steps.cu
    csrc/cuda/update.cu)
  add_library(fastreg_cuda SHARED csrc/cuda/host_arrays.cpp csrc/cuda/table.cpp ${kernels})
  if(FASTREG_CUDA STREQUAL "EMULATED")
    include(tests/emulator/emulator.cmake)
  else()
    set_target_properties(fastreg_cuda PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON CUDA_VISIBILITY_PRESET hidden)
    target_include_directories(fastreg_cuda PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
    string(REPLACE ";" " " built_for "${FASTREG_CUDA_ARCHITECTURES}")
    set(note "sm ${built_for} by nvcc ${CMAKE_CUDA_COMPILER_VERSION}")
  endif()
  target_include_directories(fastreg_cuda PRIVATE csrc)
  # Contraction off, as on the CPU. The version script leaves one function to be found.
  target_compile_options(fastreg_cuda PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false --compress-mode=size -Xcompiler=-Wall,-Wextra,-ffp-contract=off>
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -ffp-contract=off>)
  if(FASTREG_WERROR)
    target_compile_options(fastreg_cuda PRIVATE
      $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings -Xcompiler=-Werror> $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
  endif()
  target_compile_definitions(fastreg_cuda PRIVATE FASTREG_VERSION="${PROJECT_VERSION}")
  set(cuda_exports ${PROJECT_SOURCE_DIR}/csrc/cuda/exports.map)
  target_link_options(fastreg_cuda PRIVATE LINKER:--version-script=${cuda_exports} LINKER:--exclude-libs,ALL LINKER:--no-undefined)
  set_target_properties(fastreg_cuda PROPERTIES LINK_DEPENDS ${cuda_exports})
  set_property(SOURCE csrc/core/cuda.cpp APPEND PROPERTY COMPILE_DEFINITIONS FASTREG_HAVE_CUDA)
endif()
set_property(SOURCE csrc/core/cuda.cpp APPEND PROPERTY COMPILE_DEFINITIONS FASTREG_CUDA_NOTE="${note}")
target_link_libraries(fastreg PRIVATE ${CMAKE_DL_LIBS})
message(STATUS "CUDA plugin: ${build_cuda} (${note})")
