// random: initial weights, permutations and raw Philox words of _core.pyi, as fresh arrays.
// It must not know how a random number is made: that is rules/philox.h.
#include "core/ops.h"
#include "python/arrays.h"
#include "python/errors.h"
#include "python/module.h"
#include "python/names.h"
#include "python/values.h"

namespace fastreg::python {
namespace {

py::array py_initialize(py::handle kind, py::handle shape, py::handle a, py::handle b, py::handle seed,
                        py::handle stream, py::handle dtype) {
    Initializer initializer = Initializer::uniform;
    read(kind, "kind", &initializer);
    Shape sizes;
    for (const py::handle size : to_sequence(shape, "shape")) {
        sizes.push_back(to_size(size, Name("shape", sizes.size())));
    }
    const double a_value = to_double(a, "a"), b_value = to_double(b, "b");
    const uint64_t key = to_uint64(seed, "seed");
    const uint32_t address = to_uint32(stream, "stream");
    Dtype type = Dtype::f32;
    read(dtype, "dtype", &type);
    py::array out = new_array(type, sizes);
    const Matrix view = ArrayGate(type, "dtype").flat({out, "out", Access::write});
    run_interruptible(
        [&](Cancel& cancel) { return initialize(cancel, initializer, a_value, b_value, key, address, view); });
    return out;
}

py::array py_permutation(py::handle n, py::handle seed, py::handle epoch) {
    const int64_t size = to_size(n, "n");
    const uint64_t key = to_uint64(seed, "seed"), round = to_uint64(epoch, "epoch");
    py::array_t<int64_t> out(size);
    int64_t* order = out.mutable_data();
    run_interruptible([&](Cancel& cancel) { return permutation(cancel, size, key, round, order); });
    return out;
}

py::array py_philox(py::handle seed, py::handle stream, py::handle step, py::handle first_block, py::handle n_blocks,
                    py::handle rounds) {
    const uint64_t key = to_uint64(seed, "seed"), first = to_uint64(first_block, "first_block");
    const uint32_t address = to_uint32(stream, "stream"), time = to_uint32(step, "step");
    const int64_t blocks = to_size(n_blocks, "n_blocks");
    const int32_t n_rounds = to_int32(rounds, "rounds");
    py::array_t<uint32_t> out(Shape{blocks, 4});
    uint32_t* words = out.mutable_data();
    run([&] { return philox(key, address, time, first, blocks, n_rounds, words); });
    return out;
}

}  // namespace

void bind_random(py::module_& module) {
    using py::arg;
    module.def("initialize", &py_initialize, arg("kind"), arg("shape"), arg("a"), arg("b"), arg("seed"), arg("stream"),
               arg("dtype"), "An array of random initial weights.");
    module.def("permutation", &py_permutation, arg("n"), arg("seed"), arg("epoch"), "The order of rows in an epoch.");
    module.def("philox", &py_philox, arg("seed"), arg("stream"), arg("step"), arg("first_block"), arg("n_blocks"),
               arg("rounds"), "Raw philox4x32 words, (n_blocks, 4).");
}

}  // namespace fastreg::python
