// module: the native module _core: its process-wide functions and what its other files bind.
// It must not know arrays or models. python/fastreg/_core.pyi is the contract and holds the signatures.
#include "python/module.h"

#include <pybind11/stl.h>

#include "core/cuda.h"
#include "core/runtime.h"
#include "python/errors.h"
#include "python/values.h"

namespace fastreg::python {
namespace {

py::dict python_build_info() {
    const BuildInfo info = build_info();
    py::dict dict;
    dict["version"] = info.version;
    dict["compiler"] = info.compiler;
    dict["isas_compiled"] = info.isas_compiled;
    dict["isas_runnable"] = info.isas_runnable;
    dict["isa"] = info.isa;
    dict["num_threads"] = info.num_threads;
    dict["cuda"] = info.cuda;
    return dict;
}

void bind_process(py::module_& module) {
    module.def("build_info", &python_build_info, "What this build is and uses, as a dict.");
    module.def(
        "set_isa",
        [](py::handle name) {
            const std::string isa(to_string(name, "name"));
            run([&] { return set_isa(isa); });
        },
        py::arg("name"), "Use the kernels of one instruction set from now on.");
    module.def("get_num_threads", &get_num_threads, "How many threads compute.");
    module.def(
        "set_num_threads",
        [](py::handle n) {
            const int32_t threads = to_int32(n, "n");
            run([&] { return set_num_threads(threads); });
        },
        py::arg("n"), "Compute on n threads; results do not change.");
    module.def(
        "cuda_device_count",
        [] {
            int n = 0;
            run([&] { return cuda_device_count(&n); });
            return n;
        },
        "How many GPUs there are; RuntimeError, with the reason, when there is none to use.");
    module.def(
        "cuda_device_name",
        [](py::handle device) {
            const int32_t index = to_int32(device, "device");
            std::string name;
            run([&] { return cuda_device_name(index, &name); });
            return name;
        },
        py::arg("device"), "The name of a GPU.");
}

}  // namespace
}  // namespace fastreg::python

PYBIND11_MODULE(_core, m) {
    using namespace fastreg::python;
    const fastreg::Status ready = fastreg::runtime_init();
    if (!ready.ok()) throw pybind11::import_error(ready.message);  // FASTREG_ISA or a thread count that cannot be used
    pybind11::options options;
    options.disable_function_signatures();  // every argument is checked by name here, so pybind11 sees only objects
    m.doc() = "The native core of fastreg; see _core.pyi.";
    bind_process(m);
    bind_arrays(m);
    bind_session(m);
    bind_ops(m);
    bind_updates(m);
    bind_random(m);
}
