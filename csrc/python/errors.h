// errors: a core Status becomes a Python exception, and Ctrl-C becomes a Cancel.
// It must not know arrays, sessions or which call failed.
#pragma once
#include <pybind11/pybind11.h>
#include <unistd.h>

#include "core/context.h"
#include "core/float_settings.h"
#include "core/status.h"

namespace fastreg::python {

namespace py = pybind11;

// Sets the Python error and throws it.
[[noreturn]] inline void raise(PyObject* type, const std::string& message) {
    PyErr_SetString(type, message.c_str());
    throw py::error_already_set();
}

// Needs the GIL. A cancelled call left its reason (KeyboardInterrupt, mostly) as the pending Python error.
inline void raise_if_error(const Status& status) {
    switch (status.code) {
        case Code::ok: return;
        case Code::invalid_argument: raise(PyExc_ValueError, status.message);
        case Code::type_mismatch: raise(PyExc_TypeError, status.message);
        case Code::out_of_memory: raise(PyExc_MemoryError, status.message);
        case Code::runtime: raise(PyExc_RuntimeError, status.message);
        case Code::cancelled:
            if (PyErr_Occurred()) throw py::error_already_set();
            raise(PyExc_KeyboardInterrupt, status.message);
    }
    raise(PyExc_SystemError, "unknown status: " + status.message);
}

// A thread that waits for the GIL while Python ends is ended by pthread_exit, whose way through destructors aborts the
// process. What is thrown for that is caught, and the thread waits for the end of the process.
[[noreturn]] inline void wait_for_the_end() {
    for (;;) pause();
}

// Without the GIL from here to the end of the scope.
class WithoutGil {
public:
    WithoutGil() : state_(PyEval_SaveThread()) {}
    ~WithoutGil() {
        try {
            PyEval_RestoreThread(state_);
        } catch (...) {
            wait_for_the_end();
        }
    }
    WithoutGil(const WithoutGil&) = delete;
    WithoutGil& operator=(const WithoutGil&) = delete;

private:
    PyThreadState* state_;
};

// With the GIL.
class WithGil {
public:
    WithGil() {
        try {
            state_ = PyGILState_Ensure();
        } catch (...) {
            wait_for_the_end();
        }
    }
    ~WithGil() { PyGILState_Release(state_); }
    WithGil(const WithGil&) = delete;
    WithGil& operator=(const WithGil&) = delete;

private:
    PyGILState_STATE state_{};
};

// Python runs signal handlers on the main thread only; elsewhere polls could only cost waits for the GIL. To ask which
// thread this is takes longer than a small kernel, so a poll asks: short calls end before the first.
class SignalPoll {
public:
    // The core calls this without the GIL, on the thread that made the call. True leaves a Python error pending.
    static bool interrupted(void* self) { return static_cast<SignalPoll*>(self)->poll(); }

private:
    static bool on_main_thread() {
        const auto threading = py::module_::import("threading");
        return threading.attr("get_ident")().equal(threading.attr("main_thread")().attr("ident"));
    }

    bool poll() {
        if (elsewhere_) return false;
        const WithGil gil;
        try {
            elsewhere_ = !on_main_thread();
        } catch (py::error_already_set& error) {  // a signal handler that ran in there raised
            error.restore();
            return true;
        }
        return !elsewhere_ && PyErr_CheckSignals() != 0;
    }

    bool elsewhere_ = false;
};

// compute(cancel), without the GIL. No Python object may be touched inside.
template <class Compute>
Status interruptible(Compute compute) {
    SignalPoll signals;
    Cancel cancel(&SignalPoll::interrupted, &signals);
    const FloatSettings settings;
    const WithoutGil nogil;
    return or_out_of_memory([&]() -> Status { return compute(cancel); });
}

template <class Compute>
void run_interruptible(Compute compute) {
    raise_if_error(interruptible(compute));
}

// The same for work too short to interrupt.
template <class Compute>
void run(Compute compute) {
    Status status;
    {
        const FloatSettings settings;
        const WithoutGil nogil;
        status = or_out_of_memory([&]() -> Status { return compute(); });
    }
    raise_if_error(status);
}

}  // namespace fastreg::python
