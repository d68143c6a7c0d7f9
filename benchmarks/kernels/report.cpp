// The table and the JSON file. It must not know how results came about.
#include "report.h"

#include <cstdio>

namespace fastreg {
namespace {

// Three digits and the unit that suits.
std::string time_text(double seconds) {
    char text[32];
    const bool ms = seconds >= 1e-3;
    const double value = seconds * (ms ? 1e3 : 1e6);
    std::snprintf(text, sizeof text, "%.*f %s", value < 10 ? 2 : value < 100 ? 1 : 0, value, ms ? "ms" : "us");
    return text;
}

double per_second(const Result& r) { return (r.work.fma > 0 ? 2 * r.work.fma : r.work.bytes) / r.timing.best; }

}  // namespace

void print_ceilings(const std::string& isa, int threads, Ceilings& c) {
    std::printf("\n## %s, %d thread%s\n\n", isa.c_str(), threads, threads == 1 ? "" : "s");
    const IsaLoops& l = c.loops();
    std::printf(
        "Measured here, f32 / f64: FMA %.1f / %.1f GFLOP/s; division %.2f / %.2f, square root %.2f / %.2f G/s;\n",
        2e-9 * c.per_second(l.fma[0]), 2e-9 * c.per_second(l.fma[1]), 1e-9 * c.per_second(l.divide[0]),
        1e-9 * c.per_second(l.divide[1]), 1e-9 * c.per_second(l.root[0]), 1e-9 * c.per_second(l.root[1]));
    std::printf("32-bit wide multiplies %.2f G/s; copies (read + written), GB/s:",
                1e-9 * c.per_second(l.wide_multiply));
    for (const auto& [footprint, name] :
         {std::pair{16384.0, "16 KiB"}, {524288.0, "512 KiB"}, {8388608.0, "8 MiB"}, {268435456.0, "256 MiB"}})
        std::printf("%s %.1f in %s", footprint > 16384 ? "," : "", 1e-9 * c.copy_bytes_per_second(footprint), name);
    std::printf(".\n");
}

void print_header() {
    std::printf(
        "\n| %-28s | type | %-14s | %9s | %9s | %14s | %7s | %-10s | %% of it | rel. error |    ulp | check |\n",
        "kernel", "size", "best", "median", "rate", "ns/elem", "bound by");
    std::printf("|%s|------|%s|%s:|%s:|%s:|%s:|%s|--------:|-----------:|-------:|-------|\n",
                std::string(30, '-').c_str(), std::string(16, '-').c_str(), std::string(10, '-').c_str(),
                std::string(10, '-').c_str(), std::string(15, '-').c_str(), std::string(8, '-').c_str(),
                std::string(12, '-').c_str());
}

void print_result(const Result& r) {
    char rate[32], each[32] = "";
    std::snprintf(rate, sizeof rate, "%.1f %s", 1e-9 * per_second(r), r.work.fma > 0 ? "GFLOP/s" : "GB/s");
    if (r.work.elements > 0) std::snprintf(each, sizeof each, "%.3f", 1e9 * r.timing.best / r.work.elements);
    std::printf("| %-28s | %-4s | %-14s | %9s | %9s | %14s | %7s | %-10s | %7.1f | %10.1e | %6.3g | %s |\n",
                r.kernel.c_str(), r.dtype.c_str(), r.size.c_str(), time_text(r.timing.best).c_str(),
                time_text(r.timing.median).c_str(), rate, each, r.bound, 100 * r.timing.share, r.error.relative,
                r.error.ulp, r.error.ok() ? (r.error.note.empty() ? "ok" : r.error.note.c_str()) : "BROKEN");
    if (!r.error.ok())
        std::printf("BROKEN: %s %s %s: %s; limit %g\n", r.kernel.c_str(), r.dtype.c_str(), r.size.c_str(),
                    r.error.broken.empty() ? "the error exceeds its limit" : r.error.broken.c_str(), r.error.limit);
    std::fflush(stdout);
}

bool write_json(const std::string& path, const std::vector<Result>& results) {
    std::FILE* f = std::fopen(path.c_str(), "w");
    if (!f) return false;
    std::fprintf(f, "[\n");
    for (const Result& r : results) {
        std::fprintf(f, "{\"isa\": \"%s\", \"threads\": %d, \"kernel\": \"%s\", \"dtype\": \"%s\", \"size\": \"%s\", ",
                     r.isa.c_str(), r.threads, r.kernel.c_str(), r.dtype.c_str(), r.size.c_str());
        std::fprintf(f, "\"best_s\": %.6g, \"median_s\": %.6g, \"calls\": %lld, \"flop\": %.6g, \"bytes\": %.6g, ",
                     r.timing.best, r.timing.median, static_cast<long long>(r.timing.calls), 2 * r.work.fma,
                     r.work.bytes);
        std::fprintf(f, "\"elements\": %.6g, \"bound\": \"%s\", \"share\": %.4f, ", r.work.elements, r.bound,
                     r.timing.share);
        std::fprintf(f,
                     "\"relative_error\": %.4g, \"ulp\": %.4g, \"limit\": %.4g, \"limit_is_ulp\": %s, \"ok\": %s}%s\n",
                     r.error.relative, r.error.ulp, r.error.limit, r.error.ulp_limit ? "true" : "false",
                     r.error.ok() ? "true" : "false", &r == &results.back() ? "" : ",");
    }
    std::fprintf(f, "]\n");
    return std::fclose(f) == 0;
}

}  // namespace fastreg
