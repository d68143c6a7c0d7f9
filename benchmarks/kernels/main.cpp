// The kernel benchmark: every kernel of the op table at many sizes, its speed as a share of what the machine was
// measured to do in the same run, and its error beside it. It exits with 1 where an error exceeds its limit; times are
// never judged. It must not know how a kernel is called or checked: that is in cases_*.cpp.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "case.h"
#include "ceilings.h"
#include "core/runtime.h"
#include "core/tables.h"
#include "report.h"

namespace fastreg {

const Backend& scalar_table() { return *kCpuBackends[kNumCpuBackends - 1].backend; }

namespace {

const char* const kUsage =
    "usage: kernels [--isa NAMES] [--threads COUNTS] [--filter SUBSTRING] [--quick] [--json FILE]\n"
    "  --isa      tables, as avx2,avx512; without it, all that this CPU runs but scalar\n"
    "  --threads  as 1,2; without it, 1 and all cores of this process\n"
    "  --filter   only cases whose \"kernel type size\" contains SUBSTRING\n"
    "  --quick    shorter timings\n";

struct Options {
    std::vector<std::string> isas;
    std::vector<int> threads;
    std::string filter, json;
    double batch_seconds = 0.05;
    int repetitions = 7;
};

std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> parts;
    std::stringstream stream(text);
    for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
    return parts;
}

bool parse(int argc, char** argv, Options* o) {
    for (int i = 1; i < argc; ++i) {
        const std::string name = argv[i];
        if (name == "--quick") {
            o->batch_seconds = 0.01;
            o->repetitions = 3;
            continue;
        }
        if (i + 1 == argc) return false;
        const std::string value = argv[++i];
        if (name == "--isa") {
            o->isas = split(value);
        } else if (name == "--threads") {
            for (const std::string& n : split(value)) o->threads.push_back(std::atoi(n.c_str()));
        } else if (name == "--filter") {
            o->filter = value;
        } else if (name == "--json") {
            o->json = value;
        } else {
            return false;
        }
    }
    if (o->threads.empty()) {
        o->threads = {1};
        if (pool_default_threads() > 1) o->threads.push_back(pool_default_threads());
    }
    if (o->isas.empty())
        for (const std::string& isa : build_info().isas_runnable)
            if (isa != "scalar" || o->isas.empty()) o->isas.push_back(isa);
    return true;
}

// Appends the results of one table on so many threads.
Status run_cases(const Options& o, const std::string& isa, int threads, std::vector<Result>* results) {
    FR_RETURN_IF_ERROR(set_isa(isa));
    FR_RETURN_IF_ERROR(set_num_threads(threads));
    const Effort effort{o.batch_seconds, o.repetitions, clock_for(threads)};
    std::vector<Case> cases;
    add_dense_cases(backend(), &cases);
    add_update_cases(backend(), &cases);
    add_elementwise_cases(backend(), &cases);
    add_data_cases(backend(), &cases);
    add_loss_cases(backend(), &cases);
    Ceilings ceilings(isa, threads, {o.batch_seconds / 2, 5, clock_for(threads)});
    print_ceilings(isa, threads, ceilings);
    print_header();
    for (const Case& c : cases) {
        if ((c.kernel + " " + c.dtype + " " + c.size).find(o.filter) == std::string::npos) continue;
        const Bound bound = ceilings.bound(c.work, c.dtype == "f64");
        const Prepared prepared = c.prepare();
        const Error error = prepared.check();
        const Timing timing = time_calls(effort, prepared.run, bound.seconds);
        results->push_back({isa, threads, c.kernel, c.dtype, c.size, c.work, timing, bound.name, error});
        print_result(results->back());
    }
    return {};
}

int run(int argc, char** argv) {
    Options o;
    if (!parse(argc, argv, &o)) {
        std::fputs(kUsage, stderr);
        return 2;
    }
    const BuildInfo build = build_info();
    std::printf("# fastreg %s kernels, %s\n\n", build.version.c_str(), build.compiler.c_str());
    std::printf(
        "%d batches of %.0f ms; one thread: processor time, several: wall time. %% of it: the share of the time\n"
        "at the ceiling that binds, measured before each batch; median over the batches.\n",
        o.repetitions, 1e3 * o.batch_seconds);
    std::vector<Result> results;
    for (const std::string& isa : o.isas)
        for (const int threads : o.threads) {
            const Status s = run_cases(o, isa, threads, &results);
            if (s.ok()) continue;
            std::fprintf(stderr, "%s\n", s.message.c_str());
            return 2;
        }
    if (!o.json.empty() && !write_json(o.json, results)) {
        std::fprintf(stderr, "cannot write %s\n", o.json.c_str());
        return 2;
    }
    int broken = 0;
    for (const Result& r : results) broken += !r.error.ok();
    std::printf("\n%zu cases, %d of them with an error beyond its limit\n", results.size(), broken);
    return broken ? 1 : 0;
}

}  // namespace
}  // namespace fastreg

int main(int argc, char** argv) { return fastreg::run(argc, argv); }
