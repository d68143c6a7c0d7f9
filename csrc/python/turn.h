// Turn: one Python thread at a time with a session, in the order in which they came.
// It must not know what a session does.
#pragma once
#include <pybind11/pybind11.h>
#include <pythread.h>

#include <algorithm>
#include <deque>

#include "python/errors.h"

namespace fastreg::python {

// The way into a session. All of it is read and written with the GIL; who must wait does so without it, and hears
// Ctrl-C.
class Door {
public:
    Door() = default;
    Door(const Door&) = delete;
    Door& operator=(const Door&) = delete;

    void enter() {
        if (user_ == kNobody) {
            user_ = PyThread_get_thread_ident();
            forks_ = forks();
        } else {
            wait();
        }
    }

    void leave() {
        user_ = kNobody;
        if (line_.empty()) return;
        user_ = line_.front()->thread;
        PyThread_release_lock(line_.front()->lock);
        line_.pop_front();
    }

private:
    using Thread = unsigned long;  // as Python numbers them
    static constexpr Thread kNobody = PYTHREAD_INVALID_THREAD_ID;

    // A thread that waits until its lock is released.
    struct Waiting {
        Thread thread = PyThread_get_thread_ident();
        PyThread_type_lock lock = PyThread_allocate_lock();

        Waiting() {
            if (!lock) throw std::bad_alloc();
            PyThread_acquire_lock(lock, NOWAIT_LOCK);
        }
        ~Waiting() { PyThread_free_lock(lock); }
        Waiting(const Waiting&) = delete;
        Waiting& operator=(const Waiting&) = delete;
    };

    void wait() {
        Waiting me;
        if (forks_ != forks())
            raise(PyExc_RuntimeError, "the session was in use when this process was forked; make another one");
        const auto is_me = [&](const Waiting* other) { return other->thread == me.thread; };
        if (user_ == me.thread || std::any_of(line_.begin(), line_.end(), is_me))
            raise(PyExc_RuntimeError, "the session is in use by this very thread, in a call that a handler interrupts");
        line_.push_back(&me);
        for (;;) {
            PyLockStatus status;
            {
                const WithoutGil nogil;
                status = PyThread_acquire_lock_timed(me.lock, -1, 1);
            }
            if (status == PY_LOCK_ACQUIRED) return;
            if (PyErr_CheckSignals() == 0) continue;
            const auto place = std::find(line_.begin(), line_.end(), &me);
            if (place == line_.end())
                leave();  // the turn had come
            else
                line_.erase(place);
            throw py::error_already_set();
        }
    }

    // How often this process is a fork of another. A thread that was inside did not come along.
    static int forks() {
        static int n = 0;
        static const int registered = pthread_atfork(nullptr, nullptr, [] { ++n; });
        (void)registered;
        return n;
    }

    Thread user_ = kNobody;
    int forks_ = 0;  // when it was let in
    std::deque<Waiting*> line_;
};

class Turn {
public:
    explicit Turn(Door& door) : door_(door) { door_.enter(); }
    ~Turn() { door_.leave(); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

private:
    Door& door_;
};

}  // namespace fastreg::python
