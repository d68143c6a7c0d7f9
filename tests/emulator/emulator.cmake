# The plugin from C++ alone: the kernels as they are, CUDA's headers from here. Included by cmake/cuda.cmake.
target_sources(fastreg_cuda PRIVATE tests/emulator/emulator.cpp)
target_include_directories(fastreg_cuda BEFORE PRIVATE tests/emulator/include)
set_source_files_properties(${kernels} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++")
# nvcc does not reorder accesses by type; its pragmas are not C++'s; kernels for other devices are there without a body.
target_compile_options(fastreg_cuda PRIVATE -O2 -fno-strict-aliasing -Wno-unknown-pragmas -Wno-unused-parameter)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(fastreg_cuda PRIVATE -mfma)  # std::fma as an instruction, not a call
endif()
find_package(Threads REQUIRED)
target_link_libraries(fastreg_cuda PRIVATE Threads::Threads)
